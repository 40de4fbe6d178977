"""Settings and fixtures of all tests; they import the helpers beside them, as tests/clips.py."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
sys.path[:0] = [str(TESTS), str(TESTS / "live")]
pytest_plugins = ["live_fixtures"]

# Several processes run tests side by side (pytest-xdist): each takes its share of the cores, and so
# do the commands it starts. The libraries read these variables when they are imported, after this.
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
THREADS = max(1, (os.cpu_count() or 1) // WORKERS)
if WORKERS > 1:
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", str(THREADS))
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs this way, and the commands tested would inherit it.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def folders(tmp_path_factory):
    """Built engines and added models of the tests stay out of the user's folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MATTECAST_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("MATTECAST_MODELS", str(tmp_path_factory.mktemp("models")))
        yield


def pytest_runtest_setup(item):
    """Tests that need an NVIDIA card say so where there is none."""
    from mattecast.engines.cuda import no_driver

    if item.get_closest_marker("gpu") and (reason := no_driver()):
        pytest.skip(f"{reason} here")


@pytest.fixture
def fake_gpu(monkeypatch):
    """A GPU, a driver and TensorRT, all of them fakes that compute truly."""
    import fake_tensorrt
    from fake_cuda import FakeCuda

    from mattecast.engines import cuda, selection
    from mattecast.engines.backends import tensorrt

    fake = FakeCuda()
    trt = fake_tensorrt.module(fake)
    monkeypatch.setattr(cuda, "runtime", lambda: fake)
    monkeypatch.setattr(selection, "no_driver", lambda: None)
    monkeypatch.setattr(selection, "_not_installed", lambda *names: None)
    monkeypatch.setattr(tensorrt, "package_for", lambda capability: trt)
    monkeypatch.setattr(tensorrt, "build_plan", fake_tensorrt.build_plan)
    monkeypatch.setattr(fake_tensorrt.Context, "fails", False)
    return fake


@pytest.fixture
def left_half(monkeypatch):
    """A network that takes the left half of every picture for a person."""
    from commands import StandIn

    from mattecast import engines

    monkeypatch.setattr(engines, "load", lambda spec, size, **_: StandIn(size))


@pytest.fixture
def no_thread_stays():
    """The test leaves as many threads as it found."""
    before = threading.active_count()
    yield
    assert threading.active_count() == before


@pytest.fixture(scope="session")
def talk(tmp_path_factory):
    """A clip of eight small frames with sound; tests read it only."""
    from clips import Recipe, make
    from faults import SMALL

    recipe = Recipe(size=SMALL, audio=("aac",))
    return make(tmp_path_factory.mktemp("talk") / "talk.mp4", recipe)
