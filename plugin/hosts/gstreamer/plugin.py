"""The element of GStreamer as a plug-in: the file that loads it, and whether GStreamer can."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import mattecast.engines
import mattecast.filters
from mattecast.errors import UsageError
from mattecast.hosts.gstreamer.properties import PROPERTIES
from mattecast.hosts.plugin import Plugin
from mattecast.inspect.finding import Finding, error, note, ok, warning

# Pictures of the small pipeline, and how long it may take in seconds: the first start of a pipeline
# looks through all of GStreamer's plug-ins.
_PICTURES, _PATIENCE = 4, 120
_PACKAGES = {
    "linux": "Debian and Ubuntu: apt install gstreamer1.0-tools gstreamer1.0-plugins-base "
    "gstreamer1.0-python3-plugin-loader python3-gst-1.0 gir1.2-gst-plugins-base-1.0",
    "darwin": "brew install gstreamer pygobject3",
    "win32": "GStreamer needs gst-python with its plug-in loader",
}
# What a folder is called in which GStreamer looks for Python.
_FOLDER = "python"
_STEP = "gst-inspect-1.0 mattecast shows its properties; outside a virtual environment"
LOADER = Path(__file__).with_name("mattecast_element.py")


def _build(folder: Path) -> Path:
    """The loader, with where this mattecast is written into it."""
    text = LOADER.read_text(encoding="utf-8")
    packages = (mattecast, mattecast.engines, mattecast.filters)
    known = {
        "PYTHON": sys.version_info[:2],
        "PACKAGES": {each.__name__: each.__path__[0] for each in packages},
        "NEEDED": _needed(),
        "PROPERTIES": [*PROPERTIES, "engine"],
    }
    for name, value in known.items():
        text = _written(text, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    built = folder / LOADER.name
    built.write_text(text, encoding="utf-8")
    return built


def _written(text: str, name: str, value: object) -> str:
    """The text of a module with another value of a variable."""
    start, line, end = re.split(rf"^({name}: .* = ).*$", text, flags=re.M)
    return f"{start}{line}{value!r}{end}"


def _needed() -> list[str]:
    """The folders that this Python has packages in."""
    kinds = ("site-packages", "dist-packages")
    return [each for each in sys.path if Path(each).name in kinds and Path(each).is_dir()]


def _check() -> Iterator[Finding]:
    """Whether GStreamer can load the element, and matte pictures with it."""
    inspect, launch = shutil.which("gst-inspect-1.0"), shutil.which("gst-launch-1.0")
    if inspect is None or launch is None:
        yield error("GStreamer", f"gst-launch-1.0 is not on the PATH; {_packages()}")
        return
    yield ok("GStreamer", _run([launch, "--version"], _outside()).stdout.splitlines()[0])
    loader = _loader(inspect)
    if loader is None and _is_on_blacklist(inspect):
        yield error(
            "Python loader",
            "GStreamer keeps it on a blacklist since it once failed to start, as it does inside a "
            "virtual environment; delete the files registry.*.bin in ~/.cache/gstreamer-1.0",
        )
        return
    if loader is None:
        yield error("Python loader", f"GStreamer has none; {_packages()}")
        return
    yield from _same_python(loader)
    yield from _small_pipeline(launch)


def _loader(inspect: str) -> Path | None:
    """The library of GStreamer that loads elements written in Python."""
    said = _run([inspect, "python"], _outside()).stdout
    found = re.search(r"^\s*Filename\s+(.+)$", said, re.M)
    return Path(found[1]) if found else None


def _is_on_blacklist(inspect: str) -> bool:
    return "gstpython" in _run([inspect, "-b"], _outside()).stdout


def _same_python(loader: Path) -> Iterator[Finding]:
    """Whether the loader's Python is ours: packages are built for one version of Python."""
    ours = "{}.{}".format(*sys.version_info)
    theirs = python_of(loader)
    if theirs is None:
        yield note("Python loader", f"{loader}: its version of Python is unknown")
    elif theirs == ours:
        yield ok("Python loader", f"{loader}: Python {theirs}, as this mattecast")
    else:
        yield error(
            "Python loader",
            f"it is Python {theirs}, but this mattecast runs on Python {ours}: install mattecast "
            f"for Python {theirs}, then run its mattecast hosts install gstreamer",
        )


def python_of(loader: Path) -> str | None:
    """The version of Python that a library is linked to, such as '3.11'; None where none shows."""
    try:
        found = re.search(rb"(?:libpython|Versions/|python)3\.?(\d{1,2})", loader.read_bytes())
    except OSError:
        return None
    return f"3.{found[1].decode()}" if found else None


def _small_pipeline(launch: str) -> Iterator[Finding]:
    """What a pipeline of a few pictures says."""
    pipeline = f"videotestsrc num-buffers={_PICTURES} ! video/x-raw,width=64,height=48 ! "
    command = [launch, *f"{pipeline}mattecast detail=fast ! fakesink".split()]
    outside = _run(command, _outside())
    if outside.returncode:
        yield error("a small pipeline", _reason(outside))
        return
    yield ok("a small pipeline", f"{_PICTURES} pictures were matted")
    here = _run(command, dict(os.environ))
    if here.returncode:
        yield warning(
            "this shell",
            f"its variables keep GStreamer's Python from starting ({_reason(here)}): leave the "
            "virtual environment (deactivate), unset PYTHONPATH and PYTHONHOME",
        )


def _outside() -> dict[str, str]:
    """The environment without a virtual one, in which GStreamer's Python would look for `gi`."""
    foreign = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")
    kept = {name: value for name, value in os.environ.items() if name not in foreign}
    own = {str(Path(folder, kind)) for folder in (sys.prefix,) for kind in ("bin", "Scripts")}
    folders = kept.get("PATH", "").split(os.pathsep)
    inside = sys.prefix != sys.base_prefix
    kept["PATH"] = os.pathsep.join(each for each in folders if not (inside and each in own))
    return kept


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"no answer in {_PATIENCE} s")


def _reason(failed: subprocess.CompletedProcess[str]) -> str:
    """The line that says why a pipeline failed."""
    lines = [line for line in failed.stderr.splitlines() if line.strip()]
    for sign in ("ERROR: ", "Error:", "pygobject", "no element"):
        for line in lines:
            if sign in line:
                reason = line.split("mattecast0: ")[-1].strip()
                return f"{reason}; {_packages()}" if "Error:" in line else reason
    return lines[-1] if lines else f"gst-launch-1.0 ended with {failed.returncode}"


def _packages() -> str:
    """What to install for it here."""
    return _PACKAGES.get(sys.platform, _PACKAGES["win32"])


def _step_in(folder: Path) -> str:
    """What makes GStreamer find the element in a folder of the user's."""
    if folder.absolute().name != _FOLDER:
        raise UsageError(
            f"gstreamer: {folder}: GStreamer looks for Python in folders called {_FOLDER}; name "
            f"{folder / _FOLDER}"
        )
    return f"set GST_PLUGIN_PATH to {folder.absolute().parent}; {_STEP}"


PLUGIN = Plugin(
    name="gstreamer",
    title="element for GStreamer 1.20 and later",
    # The loader looks here on every system, and in no folder of packages.
    folders=dict.fromkeys(("linux", "darwin", "win32"), ("~/.gstreamer-1.0/plugins/python",)),
    build=_build,
    installed=LOADER.name,
    step=_STEP,
    check=_check,
    step_in=_step_in,
)
