"""The OpenVINO package, its one Core of this process, and its reader of ONNX files.

Every engine needs the reader: it shows which inputs and outputs a network has (see
mattecast.engines.onnx_ports), whichever back-end then runs the network.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import Any

from mattecast.engines.errors import EngineError, refuse

_CONVERTER = "openvino.tools.ovc"


def openvino_package() -> Any:
    """Import OpenVINO; raises EngineError with the line that installs it."""
    try:
        import openvino
    except ImportError as error:
        refuse(error, "OpenVINO is not installed: pip install openvino")
    finally:
        if sys.modules.get(_CONVERTER, "present") is None:
            del sys.modules[_CONVERTER]
    return openvino


def skip_converter() -> None:
    """Keep OpenVINO's model converter from being imported, which halves OpenVINO's import time.

    The converter imports urllib, http and telemetry, and mattecast never uses it. Only the command
    calls this function: in the command's own process nobody misses `openvino.convert_model`, which
    OpenVINO itself treats as optional.
    """
    if "openvino" not in sys.modules:
        sys.modules[_CONVERTER] = None  # type: ignore[assignment]


@cache
def core_of_process() -> Any:
    """The only OpenVINO Core of this process; it lives until the process ends.

    OpenVINO's CPU plug-in gives the calling thread an alternate signal stack and removes that stack
    when its Core is destroyed. When two Cores overlap and the first one is destroyed first, the
    thread keeps a freed stack, and the next signal (Ctrl-C) ends in a segmentation fault.
    """
    return openvino_package().Core()


def read_network(path: Path) -> Any:
    """Read an ONNX file as an openvino.Model; raises EngineError for another kind of file.

    Only the ONNX reader is asked. OpenVINO's own choice among its readers is a guess, and it prints
    that guess.
    """
    openvino_package()
    from openvino.frontend import FrontEndManager

    try:
        reader = FrontEndManager().load_by_framework("onnx")
        return reader.convert(reader.load(str(path)))
    except Exception as error:  # the readers' errors have no base class of their own
        reason = last_line(error)
        raise EngineError(f"{path}: not an ONNX network OpenVINO can read ({reason})") from error


def last_line(error: Exception) -> str:
    """The last line of one of OpenVINO's many-line errors, which holds the reason."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
