"""Starting: what the first use of the package loads, and a Ctrl-C while it does."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from clips import Recipe, make

import mattecast
from mattecast import engines
from mattecast.commands import cli

LARGE = ("av", "cv2", "numpy", "openvino", "torch")


@pytest.mark.parametrize("package", [mattecast, engines])
def test_every_public_name_is_there(package) -> None:
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = package.no_such_name


@pytest.mark.parametrize(
    "code",
    [
        "import mattecast, mattecast.engines",
        "from mattecast.commands.cli import main; main(['--help'])",
        "from mattecast.commands.cli import main; main(['matte', '--help'])",
        "from mattecast.commands.cli import main; main(['matte'])",
    ],
)
def test_help_loads_no_large_library(code: str) -> None:
    guarded = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\n"
    loaded = f"print([name for name in {LARGE} if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", guarded + loaded], capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == "[]"


def _allow_interrupt() -> None:
    """Let Ctrl-C count, as in a terminal; a job in the background would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


# Modules that are done while a larger one around them is still loading.
@pytest.mark.parametrize(
    "module",
    [
        "argparse",
        "mattecast.media.formats",
        "numpy._core.multiarray",
        "av.packet",
        "mattecast.plan",
        "openvino._pyopenvino",
    ],
)
def test_ctrl_c_while_modules_load(module: str, tmp_path: Path) -> None:
    source = make(tmp_path / "a.mp4", Recipe(pts=(0, 1, 2)))
    # Python drops an exception that is raised in a callback of a weak reference, as its locks of
    # imports have them, and says so. That happens once in some hundred runs.
    tries = (interrupted(module, source) for _ in range(3))
    code, out, err = next(each for each in tries if "Exception ignored" not in each[2])
    lines = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert lines == ["mattecast: stopped by SIGINT; nothing half-written was left"]
    assert code == 130 and not out
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def interrupted(module: str, source: Path) -> tuple[int, str, str]:
    """Exit code and output of a run that gets Ctrl-C when a module has been loaded."""
    output = source.with_name("out.mov")
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "mattecast", "matte", source, "-o", output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_allow_interrupt,
    )
    assert process.stderr
    for line in process.stderr:
        if line.rpartition("|")[2].strip() == module:
            process.send_signal(signal.SIGINT)
            break
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.parametrize("package", ["openvino", "torch", "cuda.bindings"])
def test_ctrl_c_in_an_import_is_no_missing_package(package: str, tmp_path: Path) -> None:
    """Modules in C turn what is raised while they load into an ImportError of their own."""
    place = tmp_path.joinpath(*package.split("."))
    place.mkdir(parents=True)
    (place / "__init__.py").write_text(
        "try:\n    raise KeyboardInterrupt\nexcept BaseException as stop:\n"
        "    raise ImportError('initialization failed') from stop\n"
    )
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from mattecast.engines import cuda, openvino_core\n"
        "from mattecast.engines.backends import torch\n"
        "ask = {'openvino': openvino_core.openvino_package, 'torch': torch.torch_package}\n"
        f"try:\n    ask.get({package!r}, cuda.runtime)()\n"
        "except BaseException as error:\n    print(type(error).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "KeyboardInterrupt\n", done.stderr


def test_a_ctrl_c_that_a_module_swallows_still_counts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def swallow(options: object) -> int:
        with suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        return 0

    monkeypatch.setattr(cli, "_doctor", swallow)
    # After a stop the command ignores all three, since nothing but its exit is left.
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.getsignal(number) for number in numbers]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert cli.main(["doctor"]) == 130
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith("mattecast: stopped by SIGINT")


def test_ctrl_c_after_engines_that_overlapped() -> None:
    code = (
        "import signal\n"
        "from mattecast import engines\n"
        "def load():\n    return engines.load('default', size=(64, 64), backend='openvino')\n"
        "first, second = load(), load()\n"
        "first.close()\n"
        "second.close()\n"
        "del first, second\n"
        "try:\n    signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    print('stopped')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "stopped\n"), done.stderr


def test_a_missing_package_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['openvino'] = None\n"
        "from mattecast.engines.openvino_core import EngineError, openvino_package\n"
        "try:\n    openvino_package()\nexcept EngineError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("OpenVINO is not installed: pip install openvino ("), done.stderr
