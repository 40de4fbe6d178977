"""A program that imports the library keeps its own logging."""

from __future__ import annotations

import subprocess
import sys

# The program sets its logging up, imports every module of the library, and looks at it again.
PROGRAM = """
import importlib.util, logging, pkgutil
import av.logging
import mattecast, mattecast.engines, mattecast.filters

names = [None, "mattecast", "mattecast.engines", "libav", "websocket"]

def logging_state():
    loggers = [logging.getLogger(name) for name in names]
    levels = [(logger.name, logger.level, logger.propagate) for logger in loggers]
    return av.logging.get_level(), logging.root.manager.disable, logging.root.handlers[:], levels

av.logging.set_level(av.logging.INFO)
for name in names:
    logging.getLogger(name).setLevel(logging.DEBUG)
before = logging_state()
modules = [
    module.name
    for package in (mattecast, mattecast.engines, mattecast.filters)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name != "mattecast.__main__"
]
# Some modules need torch or onnx, which a user need not have, or run inside a host program; no
# other import may fail.
within = ("onnx", "torch", "bpy", "gi", "obspython")
optional = {name for name in within if importlib.util.find_spec(name) is None}
for module in modules:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name not in optional:
            raise
assert {"mattecast.live.session", "mattecast.media.clip"} <= set(modules), modules
assert logging_state() == before, (before, logging_state())
"""


def test_importing_every_module_leaves_logging_alone() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
