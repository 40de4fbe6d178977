"""Pipelines of GStreamer with the element in them, for test_gstreamer.py.

The Python of the system runs this file, since the test's own has no bindings of GStreamer:
`python3 gstreamer_pipelines.py NAME` prints what the pipeline gave, as JSON.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstVideo", "1.0")
from gi.repository import Gst, GstVideo  # noqa: E402

QUICK = "mattecast name=m detail=fast network-size=64"


class Run:
    """A pipeline that notes every buffer and event that reaches its sink `s`."""

    def __init__(self, text):
        self.pipeline = Gst.parse_launch(text)
        self.times, self.events, self.buffers, self.caps = [], [], [], []
        self.messages = []
        pad = self["s"].get_static_pad("sink")
        pad.add_probe(Gst.PadProbeType.BUFFER, self._buffer)
        pad.add_probe(Gst.PadProbeType.EVENT_DOWNSTREAM | Gst.PadProbeType.EVENT_FLUSH, self._event)

    def __getitem__(self, name):
        return self.pipeline.get_by_name(name)

    def _buffer(self, pad, info):
        buffer = info.get_buffer()
        self.times.append(buffer.pts)
        with buffer.map(Gst.MapFlags.READ) as mapped:
            self.buffers.append(bytes(mapped.data))
        return Gst.PadProbeReturn.OK

    def _event(self, pad, info):
        event = info.get_event()
        self.events.append((event.type.value_nick, len(self.times)))
        if event.type == Gst.EventType.CAPS:
            self.caps.append(event.parse_caps().to_string())
        return Gst.PadProbeReturn.OK

    def wait(self, kind, seconds=30):
        """The next message of a kind. An error ends the program."""
        wanted = kind | Gst.MessageType.ERROR
        message = self.pipeline.get_bus().timed_pop_filtered(seconds * Gst.SECOND, wanted)
        if message is None:
            sys.exit("no message came")
        if message.type == Gst.MessageType.ERROR:
            sys.exit(message.parse_error()[0].message)
        return message

    def to_end(self):
        """Play to the end."""
        self.pipeline.set_state(Gst.State.PLAYING)
        self.wait(Gst.MessageType.EOS)
        self.close()
        return self

    def close(self):
        """Release everything."""
        self.pipeline.set_state(Gst.State.NULL)


def seek():
    """A seek with a flush, after preroll: only what lies behind it comes."""
    run = Run(
        "videotestsrc ! video/x-raw,width=64,height=48,framerate=25/1 ! "
        f"{QUICK} ! fakesink name=s sync=false"
    )
    run.pipeline.set_state(Gst.State.PAUSED)
    run.wait(Gst.MessageType.ASYNC_DONE)
    run.times.clear()
    run.pipeline.seek(
        1.0,
        Gst.Format.TIME,
        Gst.SeekFlags.FLUSH | Gst.SeekFlags.ACCURATE,
        Gst.SeekType.SET,
        2 * Gst.SECOND,
        Gst.SeekType.SET,
        2 * Gst.SECOND + 400 * Gst.MSECOND,
    )
    run.to_end()
    return {"times": run.times}


def other_caps():
    """The size changes in mid-stream."""
    run = Run(f"appsrc name=a format=time ! {QUICK} ! fakesink name=s")
    run.pipeline.set_state(Gst.State.PLAYING)
    for number, (width, height) in enumerate([(64, 48)] * 4 + [(50, 31)] * 5):
        caps = f"video/x-raw,format=RGB,width={width},height={height},framerate=25/1"
        info = GstVideo.VideoInfo.new_from_caps(Gst.Caps.from_string(caps))
        buffer = Gst.Buffer.new_allocate(None, info.size, None)
        buffer.memset(0, 90, info.size)
        buffer.pts, buffer.duration = number * 40 * Gst.MSECOND, 40 * Gst.MSECOND
        sample = Gst.Sample.new(buffer, Gst.Caps.from_string(caps), None, None)
        run["a"].emit("push-sample", sample)
    run["a"].emit("end-of-stream")
    run.wait(Gst.MessageType.EOS)
    run.close()
    return {"times": run.times, "caps": run.caps, "sizes": [len(each) for each in run.buffers]}


def strides():
    """The rows of a buffer have their own stride, and it has a meta and a time."""
    run = Run(
        f"appsrc name=a format=time caps=video/x-raw,format=I420,width=34,height=22,"
        f"framerate=25/1 ! {QUICK} whole-picture=true foreground=source ! fakesink name=s"
    )
    run.pipeline.set_state(Gst.State.PLAYING)
    metas = []

    def look(pad, info):
        meta = GstVideo.buffer_get_video_region_of_interest_meta_id(info.get_buffer(), 0)
        metas.append([meta.x, meta.y, meta.w, meta.h] if meta else None)
        return Gst.PadProbeReturn.OK

    run["s"].get_static_pad("sink").add_probe(Gst.PadProbeType.BUFFER, look)
    strides, offsets = [64, 32, 32, 0], [128, 2000, 2600, 0]
    buffer = Gst.Buffer.new_allocate(None, 3000, None)
    buffer.memset(0, 255, 3000)
    for stride, offset, rows, code in ((64, 128, 22, 90), (32, 2000, 11, 128), (32, 2600, 11, 128)):
        for row in range(rows):
            buffer.memset(offset + row * stride, code, 34 if stride == 64 else 17)
    GstVideo.buffer_add_video_meta_full(
        buffer, 0, GstVideo.VideoFormat.I420, 34, 22, 3, offsets, strides
    )
    GstVideo.buffer_add_video_region_of_interest_meta(buffer, "face", 1, 2, 3, 4)
    buffer.pts, buffer.duration = 7 * Gst.SECOND, 40 * Gst.MSECOND
    run["a"].emit("push-buffer", buffer)
    run["a"].emit("end-of-stream")
    run.wait(Gst.MessageType.EOS)
    run.close()
    return {"times": run.times, "metas": metas, "picture": list(run.buffers[0])}


def events():
    """An event between two pictures keeps its place, and a changed property holds from there on."""
    run = Run(
        "videotestsrc num-buffers=30 name=v ! video/x-raw,width=64,height=48,framerate=25/1 ! "
        f"{QUICK} ! fakesink name=s"
    )
    sink, seen = run["m"].get_static_pad("sink"), []

    def count(pad, info):
        seen.append(info.get_buffer().pts)
        if len(seen) == 11:
            structure = Gst.Structure.new_empty("between")
            pad.send_event(Gst.Event.new_custom(Gst.EventType.CUSTOM_DOWNSTREAM, structure))
        if len(seen) == 21:
            run["m"].set_property("background", "#102030")
        return Gst.PadProbeReturn.OK

    sink.add_probe(Gst.PadProbeType.BUFFER, count)
    run.to_end()
    place = dict(run.events).get("custom-downstream")
    corners = [list(each[:4]) for each in run.buffers]
    return {"times": run.times, "place": place, "corners": corners}


def live():
    """A live source: what latency the pipeline has, and whether the last picture arrives."""
    run = Run(
        "videotestsrc is-live=true num-buffers=75 ! "
        "video/x-raw,width=64,height=48,framerate=15/1 ! "
        f"{QUICK} smooth=delayed latency=200 ! fakesink name=s"
    )
    run.pipeline.set_state(Gst.State.PLAYING)
    run.wait(Gst.MessageType.LATENCY)
    query = Gst.Query.new_latency()
    run["s"].get_static_pad("sink").peer_query(query)
    live, least, _ = query.parse_latency()
    run.wait(Gst.MessageType.EOS)
    run.close()
    return {"live": live, "latency": least, "times": run.times}


if __name__ == "__main__":
    Gst.init(None)
    print(json.dumps(globals()[sys.argv[1]]()))
