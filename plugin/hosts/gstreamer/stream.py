"""What flows through the element: caps, events and buffers in, the same with alpha out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, TypeAlias

from gi.repository import Gst, GstVideo

from mattecast import engines
from mattecast.engines import Engine
from mattecast.errors import MediaError
from mattecast.hosts.gstreamer import pictures
from mattecast.hosts.gstreamer.formats import CLOCK, GIVEN
from mattecast.hosts.gstreamer.live import YUV, Live
from mattecast.hosts.gstreamer.properties import settings
from mattecast.hosts.gstreamer.recorded import Recorded, delay, held_by_smoothing
from mattecast.hosts.gstreamer.rows import Rows, output
from mattecast.live.pipeline import Controls, live_guidance
from mattecast.matting.guidance import Guidance
from mattecast.matting.network import load_network
from mattecast.media.facts import Facts
from mattecast.plan import Plan, plan
from mattecast.settings import Settings

# Fields of caps that say what codes mean: those of the output differ from those of the input.
CODED = ("format", "colorimetry", "chroma-site")
# A buffer that is marked as no continuation begins a new clip where it is this far from the one
# before (seconds); a queue that drops a buffer marks the next one too.
_GAP = Fraction(1, 2)
# Settings that another network needs.
_NETWORK = ("model", "backend", "device", "precision", "threads", "network_size", "plate")
Values: TypeAlias = dict[str, Any]


class Stream:
    """The pictures between the element's pads, from READY to READY.

    values: of the properties; the element changes them while the stream runs. changed: set after
    such a change. lost: is called with the times of a picture that is left out.

    Upstream's thread calls `caps`, `event` and `take`. Pictures leave on a thread of their own, in
    order, and the events between them keep their places.
    """

    def __init__(
        self,
        sink: Gst.Pad,
        source: Gst.Pad,
        values: Values,
        lost: Callable[[Gst.Buffer, int, int], None],
    ) -> None:
        self._sink, self._source, self._values, self._lost = sink, source, values, lost
        self.changed = threading.Event()
        self.live = False
        self._facts: Facts | None = None
        self._settings = Settings()
        self._plan: Plan | None = None
        self._read: pictures.Reader | None = None
        self._out: GstVideo.VideoInfo | None = None
        self._segment = Gst.Segment()
        self._run: Recorded | Live | None = None
        self._network: tuple[object, Engine, Guidance] | None = None
        # What is under way: each picture's pts and all but its memory, and events between them.
        self._under_way: deque[tuple[int, Gst.Buffer] | Gst.Event] = deque()
        self._flow = Gst.FlowReturn.OK
        self._next = 0
        self._earliest = Gst.CLOCK_TIME_NONE
        self._given = self._left_out = 0

    # Caps.

    def caps(self, caps: Gst.Caps) -> None:
        """Other pictures come from now on. Raises MattecastError for those that cannot be."""
        self.end()
        info = GstVideo.VideoInfo.new_from_caps(caps)
        self._facts = pictures.facts(info)
        self._read = pictures.Reader(caps, info)
        self.live = self._is_live()
        self._settings = settings(self._values, live=self.live)
        self.changed.clear()
        self._negotiate(caps)

    def _is_live(self) -> bool:
        if self._values["mode"] != "auto":
            return bool(self._values["mode"] == "live")
        query = Gst.Query.new_latency()
        return bool(self._sink.peer_query(query) and query.parse_latency()[0])

    def _negotiate(self, caps: Gst.Caps) -> None:
        """Choose the pixel format of the output, and say it downstream."""
        assert self._facts is not None
        peer = self._source.peer_query_caps(None)
        for name in self._preferred():
            self._plan = plan(self._facts, self._settings, output(name))
            wanted = given(caps, name)
            if not peer.can_intersect(wanted):
                continue
            chosen = wanted.intersect(peer).fixate()
            if not chosen.get_structure(0).has_field("colorimetry"):
                colour = YUV if self.live and self._plan.yuv else self._plan.colour
                chosen.set_value("colorimetry", pictures.colorimetry(colour))
            self._out = GstVideo.VideoInfo.new_from_caps(chosen)
            if chosen != self._source.get_current_caps():
                self._source.push_event(Gst.Event.new_caps(chosen))
            return
        raise MediaError(
            f"the next element takes none of {', '.join(GIVEN)} in "
            f"{self._facts.width}x{self._facts.height}: put 'videoconvert' behind mattecast"
        )

    def _preferred(self) -> list[str]:
        """The output's pixel formats, the best first: deep ones for deep pictures."""
        assert self._facts is not None
        deep = self._facts.bits > 8
        return sorted(GIVEN, key=lambda name: deep and "10" not in name)

    @property
    def delay(self) -> int:
        """How much later than it came a picture leaves, in nanoseconds."""
        if self._facts is None or self._plan is None:
            return 0
        frame = 1 / self._facts.rate / CLOCK
        if not self.live:
            return round(delay(self._plan, self._settings) * frame)
        held = held_by_smoothing(self._settings, live=True)
        return int(self._values["latency"]) * 1_000_000 + round(held * frame)

    # Buffers.

    def take(self, buffer: Gst.Buffer) -> Gst.FlowReturn:
        """Matte the picture in a buffer. Raises MattecastError, and whatever a thread raised."""
        if self._facts is None or self._read is None:
            return Gst.FlowReturn.NOT_NEGOTIATED
        if self._flow != Gst.FlowReturn.OK:
            return self._flow
        if self._source.check_reconfigure():
            self._renegotiate()
        self._apply_changes()
        time = self._time(buffer)
        if self._is_late(time):
            self._leave_out(buffer)
            return Gst.FlowReturn.OK
        run = self._run or self._begin()
        picture = self._read(buffer)
        picture.pts, picture.duration = time, _length(buffer)
        self._under_way.append((time, pictures.label(buffer)))
        if not run.push(picture):
            _raise(run)
            return self._flow if self._flow != Gst.FlowReturn.OK else Gst.FlowReturn.FLUSHING
        return self._flow

    def _time(self, buffer: Gst.Buffer) -> int:
        """The pts of a buffer in nanoseconds; where it has none, when the one before ended.

        A buffer that does not continue the clip begins a new one.
        """
        assert self._facts is not None
        time = buffer.pts if buffer.pts != Gst.CLOCK_TIME_NONE else self._next
        gap = abs(time - self._next) * CLOCK > _GAP
        if gap and buffer.has_flags(Gst.BufferFlags.DISCONT) and not self.live:
            self.end()
        self._next = time + (_length(buffer) or round(1 / self._facts.rate / CLOCK))
        return time

    def _begin(self) -> Recorded | Live:
        assert self._facts is not None and self._plan is not None and self._out is not None
        if self.live:
            budget = self._values["latency"] / 1000
            pixels = GIVEN[self._out.finfo.name]
            self._run = Live(self._facts, pixels, self._settings, budget, self._deliver)
        else:
            engine, left = self._loaded()
            self._run = Recorded(
                self._facts, self._plan, self._settings, engine, left, self._deliver
            )
        return self._run

    def _loaded(self) -> tuple[Engine, Guidance]:
        """The network for the pictures, and the guidance that it leaves to the stages."""
        assert self._facts is not None
        facts, wanted = self._facts, self._settings
        key = (
            (facts.width, facts.height, facts.sar, wanted.detail == "fast"),
            tuple(getattr(wanted, name) for name in _NETWORK),
        )
        if self._network is None or self._network[0] != key:
            self.forget()
            guidance = live_guidance(Controls(wanted))
            self._network = (key, *load_network(facts, guidance, wanted))
        return self._network[1:]

    def _deliver(self, time: int, picture: Rows) -> bool:
        """Push a picture that is ready, and what was under way before it."""
        assert self._out is not None
        while self._under_way:
            item = self._under_way.popleft()
            if isinstance(item, Gst.Event):
                self._source.push_event(item)
            elif item[0] == time:
                self._given += 1
                self._flow = self._source.push(pictures.write(picture, item[1], self._out))
                break
            else:
                self._leave_out(item[1])
        return bool(self._flow == Gst.FlowReturn.OK)

    def _is_late(self, time: int) -> bool:
        if not self._values["qos"] or self._earliest == Gst.CLOCK_TIME_NONE:
            return False
        running = self._segment.to_running_time(Gst.Format.TIME, time)
        return bool(running != Gst.CLOCK_TIME_NONE and running < self._earliest)

    def _leave_out(self, buffer: Gst.Buffer) -> None:
        self._left_out += 1
        self._lost(buffer, self._given, self._left_out)

    # Changes.

    def _apply_changes(self) -> None:
        if not self.changed.is_set():
            return
        self.changed.clear()
        before, self._settings = self._settings, settings(self._values, live=self.live)
        same = all(getattr(before, name) == getattr(self._settings, name) for name in _NETWORK)
        if isinstance(self._run, Live) and same:
            self._run.change(self._settings)
        else:
            self.end()
        self._renegotiate()

    def _renegotiate(self) -> None:
        """Choose the output anew, for a change downstream or of the settings."""
        caps = self._sink.get_current_caps()
        before = self._out
        if caps is None or self._facts is None:
            return
        peer = self._source.peer_query_caps(None)
        current = self._source.get_current_caps()
        if current is None or not peer.can_intersect(current):
            self.end()
            self._negotiate(caps)
        elif before is not None:
            self._plan = plan(self._facts, self._settings, output(before.finfo.name))

    def event(self, event: Gst.Event) -> bool:
        """Send on an event that is bound to its place between the pictures."""
        if event.type == Gst.EventType.SEGMENT:
            self._enter(event.parse_segment())
        elif event.type in (Gst.EventType.EOS, Gst.EventType.STREAM_START):
            self.end()
        if self._under_way:
            self._under_way.append(event)
            return True
        return bool(self._source.push_event(event))

    def _enter(self, segment: Gst.Segment) -> None:
        if not segment.is_equal(self._segment):
            self.end()
            self._segment = segment.copy()
            self._earliest = Gst.CLOCK_TIME_NONE

    def late(self, earliest: int) -> None:
        """Pictures before this running time come too late for their display."""
        self._earliest = earliest

    # Ends.

    def end(self) -> None:
        """Deliver all that is under way. Raises what a thread raised."""
        run = self._run
        if run is not None:
            run.finish()
            self._run = None
            _raise(run)
        while self._under_way:
            item = self._under_way.popleft()
            if isinstance(item, Gst.Event):
                self._source.push_event(item)
            else:
                self._leave_out(item[1])

    def stop(self) -> None:
        """Deliver nothing more; returns at once, from any thread."""
        run = self._run
        if run is not None:
            run.stop()

    def flush(self) -> None:
        """Forget all that is under way, and begin anew."""
        run, self._run = self._run, None
        if run is not None:
            run.close()
        self._under_way.clear()
        self._segment = Gst.Segment()
        self._flow, self._earliest = Gst.FlowReturn.OK, Gst.CLOCK_TIME_NONE

    def forget(self) -> None:
        """Release the network."""
        network, self._network = self._network, None
        if network is not None:
            network[1].close()

    @property
    def engine(self) -> str:
        """What runs the network, in a line; '' while none is loaded."""
        engine = self._run.engine if isinstance(self._run, Live) else None
        if self._network is not None:
            engine = self._network[1]
        return str(engine.info) if engine is not None else ""


def find_model(values: Values) -> None:
    """Raise EngineError for a model that is not there."""
    engines.find(values["model"])


def given(caps: Gst.Caps, *names: str) -> Gst.Caps:
    """Caps of the same pictures in other pixel formats."""
    found = Gst.Caps.new_empty()
    for place in range(caps.get_size()):
        structure = caps.get_structure(place).copy()
        for field in CODED:
            structure.remove_field(field)
        for name in names:
            own = structure.copy()
            own.set_value("format", name)
            found.append_structure(own)
    return found


def _length(buffer: Gst.Buffer) -> int:
    return 0 if buffer.duration == Gst.CLOCK_TIME_NONE else int(buffer.duration)


def _raise(run: Recorded | Live) -> None:
    if run.failure is not None:
        raise run.failure
