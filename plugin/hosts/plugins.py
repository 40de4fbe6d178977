"""The plug-ins for host programs, as `mattecast hosts` lists them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mattecast.hosts.plugin import Plugin

# Each has a package of its own beside this file, whose module `plugin` holds its row, PLUGIN. The
# help of the command needs the names alone, and rows load large libraries.
NAMES = ("blender", "resolve", "obs", "gstreamer")


def find(name: str) -> Plugin:
    """The plug-in of one of the names."""
    found: Plugin = import_module(f"mattecast.hosts.{name}.plugin").PLUGIN
    return found
