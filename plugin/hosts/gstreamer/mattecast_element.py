"""Loads the element `mattecast` into GStreamer, from the mattecast that installed this file."""

from __future__ import annotations  # so that a Python too old for mattecast can still say so

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

# What `mattecast hosts install gstreamer` writes: the Python that mattecast runs on, where its own
# packages and those that it needs are, and what the element's properties are called.
PYTHON: tuple[int, int] = (0, 0)
PACKAGES: dict[str, str] = {}
NEEDED: list[str] = []
PROPERTIES: list[str] = []


class _Finder:
    """Finds mattecast's own packages, wherever they are."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        folder = PACKAGES.get(name)
        if folder is None:
            return None
        return importlib.util.spec_from_file_location(
            name, Path(folder, "__init__.py"), submodule_search_locations=[folder]
        )


def _factory() -> tuple[Any, ...]:
    """The element's factory. Raises RuntimeError where it cannot be had, with what to do."""
    if sys.version_info[:2] != PYTHON:
        theirs, ours = (".".join(map(str, each)) for each in (sys.version_info[:2], PYTHON))
        raise RuntimeError(
            f"GStreamer loads Python {theirs}, but this mattecast runs on Python {ours}: install "
            f"mattecast for Python {theirs} and run its 'mattecast hosts install gstreamer'"
        )
    # In front, since the system's numpy is often older than the one that mattecast needs.
    sys.path[:0] = [each for each in NEEDED if each not in sys.path]
    sys.meta_path.insert(0, _Finder)
    try:
        from mattecast.hosts.gstreamer.element import FACTORY
    except ImportError as failure:
        raise RuntimeError(
            f"the mattecast that installed the element is gone or not whole ({failure}): run "
            "'mattecast hosts install gstreamer' again"
        ) from failure
    return FACTORY


def _unusable(reason: str) -> tuple[Any, ...]:
    """A factory whose elements say why they cannot work. Without it, GStreamer would only say that
    there is no such element."""
    import gi

    gi.require_version("Gst", "1.0")
    from gi.repository import GLib, GObject, Gst

    def pad(name: str, direction: Any) -> Any:
        return Gst.PadTemplate.new(
            name, direction, Gst.PadPresence.ALWAYS, Gst.Caps.from_string("video/x-raw")
        )

    class Unusable(Gst.Element):  # type: ignore[misc]
        __gtype_name__ = "Mattecast"
        __gstmetadata__ = (
            "Mattecast person matting",
            "Filter/Effect/Video",
            reason,
            "mattecast contributors",
        )
        __gsttemplates__ = (pad("sink", Gst.PadDirection.SINK), pad("src", Gst.PadDirection.SRC))
        __gproperties__ = {  # noqa: RUF012
            name: (str, name, "", None, GObject.ParamFlags.READWRITE) for name in PROPERTIES
        }

        def __init__(self) -> None:
            super().__init__()
            for template in self.__gsttemplates__:
                self.add_pad(Gst.Pad.new_from_template(template, template.name_template))

        def do_get_property(self, property: Any) -> None:
            return None

        def do_set_property(self, property: Any, value: Any) -> None:
            pass

        def do_change_state(self, change: Any) -> Any:
            if change != Gst.StateChange.NULL_TO_READY:
                return Gst.Element.do_change_state(self, change)
            error = GLib.Error.new_literal(
                Gst.LibraryError.quark(), f"mattecast: {reason}", int(Gst.LibraryError.INIT)
            )
            self.post_message(Gst.Message.new_error(self, error, ""))
            return Gst.StateChangeReturn.FAILURE

    GObject.type_register(Unusable)
    return ("mattecast", Gst.Rank.NONE, Unusable)


try:
    __gstelementfactory__ = _factory()
except RuntimeError as failure:
    __gstelementfactory__ = _unusable(str(failure))
