"""The GStreamer element `mattecast`: pads, properties and errors. What flows is in stream.py."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, Any

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")

from gi.repository import GLib, GObject, Gst, GstVideo  # noqa: E402

from mattecast.errors import MattecastError, MediaError, UsageError  # noqa: E402
from mattecast.hosts.gstreamer.formats import GIVEN, TAKEN  # noqa: E402
from mattecast.hosts.gstreamer.properties import PROPERTIES, Property, check  # noqa: E402

if TYPE_CHECKING:
    from mattecast.hosts.gstreamer.stream import Stream

_FLAGS = GObject.ParamFlags.READWRITE | Gst.PARAM_MUTABLE_PLAYING


def _pads(name: str, direction: Gst.PadDirection, formats: list[str]) -> Gst.PadTemplate:
    caps = Gst.Caps.from_string(f"video/x-raw, format=(string){{ {', '.join(formats)} }}")
    return Gst.PadTemplate.new(name, direction, Gst.PadPresence.ALWAYS, caps)


def _declared(property: Property) -> tuple[Any, ...]:
    """A property as GObject declares it."""
    about = (property.type, property.name, property.blurb)
    limits = (property.type(property.least), property.type(property.most))
    numeric = property.type in (int, float)
    return (*about, *(limits if numeric else ()), property.default, _FLAGS)


class Mattecast(Gst.Element):  # type: ignore[misc]
    """Cuts people out of the pictures that flow through it: R, G, B and straight alpha leave."""

    __gtype_name__ = "Mattecast"
    __gstmetadata__ = (
        "Mattecast person matting",
        "Filter/Effect/Video",
        "Cuts people out without a green screen: straight alpha, or a background (licence: MIT)",
        "mattecast contributors",
    )
    __gsttemplates__ = (
        _pads("sink", Gst.PadDirection.SINK, list(TAKEN)),
        _pads("src", Gst.PadDirection.SRC, list(GIVEN)),
    )
    __gproperties__ = {  # noqa: RUF012
        **{name: _declared(property) for name, property in PROPERTIES.items()},
        "engine": (str, "engine", "what runs the network", None, GObject.ParamFlags.READABLE),
    }

    def __init__(self) -> None:
        super().__init__()
        self._values = {name: property.default for name, property in PROPERTIES.items()}
        self._stream: Stream | None = None
        self._delay = 0
        taken, given = self.__gsttemplates__
        self._sink = Gst.Pad.new_from_template(taken, "sink")
        self._sink.set_chain_function_full(self._chain)
        self._sink.set_event_function_full(self._sink_event)
        self._sink.set_query_function_full(self._sink_query)
        self._source = Gst.Pad.new_from_template(given, "src")
        self._source.set_event_function_full(self._source_event)
        self._source.set_query_function_full(self._source_query)
        self.add_pad(self._sink)
        self.add_pad(self._source)

    # Properties.

    def do_get_property(self, property: Any) -> Any:
        """See GObject."""
        if property.name == "engine":
            return self._stream.engine if self._stream else ""
        return self._values[property.name]

    def do_set_property(self, property: Any, value: Any) -> None:
        """See GObject. While pictures flow the new value holds from the next one on."""
        self._values[property.name] = value
        if self._stream is not None:
            self._stream.changed.set()

    # States.

    def do_change_state(self, change: Gst.StateChange) -> Gst.StateChangeReturn:
        """See Gst.Element."""
        if change == Gst.StateChange.NULL_TO_READY and not self._open():
            return Gst.StateChangeReturn.FAILURE
        stream = self._stream
        if change == Gst.StateChange.PAUSED_TO_READY and stream is not None:
            stream.stop()
        result = Gst.Element.do_change_state(self, change)
        if change == Gst.StateChange.PAUSED_TO_READY and stream is not None:
            stream.flush()
        if change == Gst.StateChange.READY_TO_NULL and stream is not None:
            stream.forget()
            self._stream = None
        return result

    def _open(self) -> bool:
        """Whether the element can work; where it cannot, the pipeline is told why."""
        try:
            check(self._values)
            from mattecast.hosts.gstreamer.stream import Stream, find_model

            find_model(self._values)
            self._stream = Stream(self._sink, self._source, self._values, self._lost)
        except ImportError as failure:
            version = ".".join(map(str, sys.version_info[:2]))
            self._tell(
                UsageError(
                    f"a package that mattecast needs cannot be loaded by the Python {version} of "
                    f"GStreamer ({failure}): 'mattecast hosts check gstreamer' says more"
                )
            )
            return False
        except Exception as failure:
            self._tell(failure)
            return False
        return True

    # Pads.

    def _chain(self, pad: Gst.Pad, parent: Gst.Object, buffer: Gst.Buffer) -> Gst.FlowReturn:
        assert self._stream is not None
        try:
            flow = self._stream.take(buffer)
        except Exception as failure:
            self._tell(failure)
            return Gst.FlowReturn.ERROR
        self._tell_delay()
        return flow

    def _sink_event(self, pad: Gst.Pad, parent: Gst.Object, event: Gst.Event) -> bool:
        stream = self._stream
        if stream is None:
            return bool(pad.event_default(parent, event))
        try:
            if event.type == Gst.EventType.CAPS:
                stream.caps(event.parse_caps())
                self._tell_delay()
                return True
            if event.type == Gst.EventType.FLUSH_START:
                stream.stop()
                return bool(self._source.push_event(event))
            if event.type == Gst.EventType.FLUSH_STOP:
                stream.flush()
                return bool(self._source.push_event(event))
            return stream.event(event) if _is_placed(event) else self._source.push_event(event)
        except Exception as failure:
            self._tell(failure)
            return False

    def _source_event(self, pad: Gst.Pad, parent: Gst.Object, event: Gst.Event) -> bool:
        if event.type == Gst.EventType.QOS and self._stream is not None:
            _, _, late, time = event.parse_qos()
            if time != Gst.CLOCK_TIME_NONE:
                self._stream.late(max(0, time + late))
        return bool(pad.event_default(parent, event))

    def _sink_query(self, pad: Gst.Pad, parent: Gst.Object, query: Gst.Query) -> bool:
        if query.type == Gst.QueryType.CAPS:
            return self._answer_caps(query, self._source, list(TAKEN), pad)
        if query.type == Gst.QueryType.ALLOCATION:
            # Rows may have any stride.
            query.add_allocation_meta(GstVideo.video_meta_api_get_type(), None)
            return True
        return bool(pad.query_default(parent, query))

    def _source_query(self, pad: Gst.Pad, parent: Gst.Object, query: Gst.Query) -> bool:
        if query.type == Gst.QueryType.CAPS:
            return self._answer_caps(query, self._sink, list(GIVEN), pad)
        if query.type == Gst.QueryType.LATENCY and self._stream is not None:
            if not self._sink.peer_query(query):
                return False
            live, least, most = query.parse_latency()
            delay = self._stream.delay
            if most != Gst.CLOCK_TIME_NONE:
                most += delay
            query.set_latency(live, least + delay, most)
            return True
        return bool(pad.query_default(parent, query))

    def _answer_caps(
        self, query: Gst.Query, other: Gst.Pad, formats: list[str], pad: Gst.Pad
    ) -> bool:
        """Say which pictures a pad takes, by what the element behind the other pad takes."""
        wanted = query.parse_caps()
        own = pad.get_pad_template_caps()
        beyond = other.peer_query_caps(None).intersect(other.get_pad_template_caps())
        answer = _uncoded(beyond).intersect(own)
        if wanted is not None:
            answer = wanted.intersect_full(answer, Gst.CapsIntersectMode.FIRST)
        query.set_caps_result(answer)
        return True

    # Messages.

    def _tell_delay(self) -> None:
        """Say so when pictures are delayed by another time than before."""
        assert self._stream is not None
        if self._stream.delay != self._delay:
            self._delay = self._stream.delay
            self.post_message(Gst.Message.new_latency(self))

    def _lost(self, buffer: Gst.Buffer, given: int, lost: int) -> None:
        """Say that a picture was left out. given, lost: how many were, so far."""
        live = self._stream is not None and self._stream.live
        none = Gst.CLOCK_TIME_NONE
        message = Gst.Message.new_qos(self, live, none, none, buffer.pts, buffer.duration)
        message.set_qos_stats(Gst.Format.BUFFERS, given, lost)
        self.post_message(message)

    def _tell(self, failure: Exception) -> None:
        """End the pipeline with an error that people understand."""
        domain, code = Gst.LibraryError.quark(), int(Gst.LibraryError.FAILED)
        if isinstance(failure, UsageError):
            code = int(Gst.LibraryError.SETTINGS)
        elif isinstance(failure, MediaError):
            domain, code = Gst.StreamError.quark(), int(Gst.StreamError.FORMAT)
        text, details = str(failure), ""
        if not isinstance(failure, MattecastError):
            text = f"this should not happen: {type(failure).__name__}: {failure}"
            details = "".join(traceback.format_exception(failure))
        error = GLib.Error.new_literal(domain, f"mattecast: {text}", code)
        self.post_message(Gst.Message.new_error(self, error, details))


def _is_placed(event: Gst.Event) -> bool:
    """Whether an event has its place between the pictures."""
    return bool(Gst.event_type_get_flags(event.type) & Gst.EventTypeFlags.SERIALIZED)


def _uncoded(caps: Gst.Caps) -> Gst.Caps:
    """The caps without what says what codes mean."""
    found = Gst.Caps.new_empty()
    for place in range(caps.get_size()):
        structure = caps.get_structure(place).copy()
        for field in ("format", "colorimetry", "chroma-site"):
            structure.remove_field(field)
        found.append_structure(structure)
    return found.simplify()


GObject.type_register(Mattecast)
FACTORY = ("mattecast", Gst.Rank.NONE, Mattecast)
