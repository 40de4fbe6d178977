"""The table of the programs that read our clips: one row for each, as `--for HOST` takes it.

docs/hosts.md says for each row how it was tried or where it was read, and the numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mattecast.media.formats import FILL_KEY
from mattecast.media.host import Host, Reading

_EVERY = frozenset({"*"})
_PCM = frozenset(f"pcm_{kind}" for kind in ("s16le", "s24le", "s32le", "s16be", "s24be", "s32be"))
_MOV = frozenset({"prores", "qtrle", "cfhd", "png"})  # codecs with alpha that editors read in .mov
_MUSIC = frozenset({"aac", "mp3"})
_VPX = frozenset({"vp8", "vp9"})
_EXR = Reading("premultiplied", frozenset({"exr"}), pictures=True)
_PNG = Reading("straight", frozenset({"png"}), pictures=True)
_MOVING = frozenset({"apng", "webp", "gif"})


def _asking(hint: str, *codecs: str) -> Reading:
    """The reading of an editor that has a setting for the alpha of each clip of these codecs."""
    return Reading("setting", frozenset(codecs), hint=hint)


def _straight(*codecs: str) -> Reading:
    return Reading("straight", frozenset(codecs))


_SEQUENCER = "edges are 7/255 off in the Video Sequencer, which does not divide by alpha"
_BLENDER_STEP = "Video Sequencer: a strip above the background, blend Alpha Over"
_BLENDER_4_2 = Host(
    "blender-4.2",
    "Blender to 4.3",
    ("prores", "qtrle", "png", "exr"),
    _BLENDER_STEP,
    "measured with 3.4.1, 4.2.23, 4.3.0",
    (
        Reading("opaque", _VPX),
        replace(_EXR, hint=_SEQUENCER),
        _straight("prores", "ffv1", "cfhd", "qtrle", "png"),
    ),
    copies=_EVERY,
    depth=16,
    hdr=False,
)
_BLENDER_4_5 = Host(
    "blender-4.5",
    "Blender 4.4, 4.5",
    ("prores", "qtrle", "png", "exr"),
    _BLENDER_STEP,
    "measured with 4.4.0, 4.5.15",
    (
        replace(_EXR, hint=_SEQUENCER),
        Reading("premultiplied", pictures=False, deep=True),
        _straight("qtrle", "png", "vp9", "ffv1"),
    ),
    copies=_EVERY,
    depth=16,
    hdr=False,
)
_BLENDER_5 = replace(
    _BLENDER_4_5,
    name="blender-5",
    title="Blender 5",
    known="measured with 5.0.1 to 5.3.0",
    hdr=None,  # it heeds the tags; the picture was not measured
)
_MLT = Host(
    "mlt",
    "MLT",
    ("qtrle", "cineform", "png", "webm"),
    "a transition such as qtblend or affine between the tracks",
    "measured with melt 7.12",
    (
        Reading("opaque", yuv=True, deep=True),
        Reading("dark", frozenset({"exr"})),
        _straight("qtrle", "cfhd", "png", "vp9"),
    ),
    copies=_EVERY,
    hdr=False,
)
_TRACK = "a track above another"
_GUESSED = "the kind of alpha is guessed from the pictures; it has to be {}"
_ON_MLT = "not tried itself; it builds on MLT, measured with melt 7.12"
_TABLE = (
    Host(
        "blender",
        "Blender",
        ("qtrle", "png"),
        _BLENDER_STEP,
        "measured with 3.4.1 to 5.3.0",
        copies=_EVERY,
        depth=16,
        versions=(_BLENDER_4_2, _BLENDER_4_5, _BLENDER_5),
    ),
    _BLENDER_4_2,
    _BLENDER_4_5,
    _BLENDER_5,
    Host(
        "resolve",
        "DaVinci Resolve",
        ("prores", "prores-xq", "exr", "png"),
        _TRACK,
        "read in the manual of Resolve 18.6 and in issues of tools for Linux",
        (_asking("set Clip Attributes, Video, Alpha Mode to {}", "prores", "exr", "png"),),
        copies=_PCM,
        plays=frozenset({"mp3"}),
        mute={"aac": " on Linux"},
    ),
    Host(
        "premiere",
        "Premiere Pro",
        ("prores", "prores-xq", "png"),
        _TRACK,
        "read in Adobe's Classroom in a Book and list of formats, and fnord's WebM plug-in",
        (
            _asking("set Modify, Interpret Footage, Alpha Channel to {}", "prores", "png"),
            Reading("refused", _VPX),
        ),
        copies=_PCM,
        plays=_MUSIC,
    ),
    Host(
        "after-effects",
        "After Effects",
        ("prores", "prores-xq", "png", "exr"),
        "a layer above another",
        "read in Adobe's help",
        (
            _asking("set Interpret Footage, Main, Alpha to {}", "prores", "png", "exr"),
            Reading("refused", _VPX),
        ),
        copies=_PCM,
        plays=_MUSIC,
    ),
    Host(
        "fcp",
        "Final Cut Pro",
        ("prores", "prores-xq", "png"),
        "a clip above another",
        "read in the manual of Final Cut Pro 6",
        (_asking(_GUESSED, "prores", "png"),),
        copies=_PCM,
    ),
    Host(
        "avid",
        "Avid Media Composer",
        (FILL_KEY, "prores"),
        "Matte Key: the fill on a track, the key on the track above it",
        "read in Avid's QuickTime guide and manual",
        (_asking("import it, since linked clips lose alpha; it is {}", "prores"),),
        copies=_PCM,
    ),
    Host(
        "vegas",
        "VEGAS Pro",
        ("prores", "png"),
        _TRACK,
        "read in the manual of Vegas Pro",
        (
            _PNG,
            Reading(
                "setting", _MOV, hint="opaque until Properties, Media, Alpha channel is set to {}"
            ),
        ),
        copies=_PCM,
    ),
    Host(
        "vmix",
        "vMix",
        ("png",),
        "Add Input, Image Sequence / Stinger",
        "read in the user guide of vMix",
        (_PNG,),
        copies=_PCM,
        depth=8,
    ),
    Host(
        "obs",
        "OBS Studio",
        ("prores", "qtrle", "webm", "png"),
        "Media Source, Local File",
        "measured with 29.0.2",
        (
            _straight("prores"),
            replace(
                _straight("qtrle", "png", "vp9"),
                hint="tick Apply alpha in linear space, else edges are dark",
            ),
        ),
        copies=_EVERY,
    ),
    replace(_MLT, name="kdenlive", title="Kdenlive", step=_TRACK, known=_ON_MLT),
    replace(_MLT, name="shotcut", title="Shotcut", step=_TRACK, known=_ON_MLT),
    _MLT,
    Host(
        "caspar",
        "CasparCG Server",
        ("prores", "qtrle", "png"),
        "PLAY 1-10 CLIP on a layer above another",
        "read in its issue 574 and pull request 1800",
        (
            _PNG,
            Reading("premultiplied"),
        ),
        copies=_EVERY,
    ),
    Host(
        "nuke",
        "Nuke",
        ("exr", "prores"),
        "Read, then Merge over",
        "read in Foundry's reference guide",
        (_EXR, Reading("setting", hint="Merge takes premultiplied colours; these are {}")),
        copies=_PCM,
    ),
    Host(
        "fusion",
        "Fusion",
        ("exr", "prores"),
        "MediaIn or Loader, then Merge",
        "read in the manual of Resolve 18.6",
        (
            _EXR,
            _asking("set Clip Attributes, Video, Alpha Mode to {}", "prores", "png"),
        ),
        copies=_PCM,
    ),
    Host(
        "ffmpeg",
        "FFmpeg",
        ("prores", "prores-xq", "ffv1", "cineform", "qtrle", "png"),
        "the filter overlay",
        "measured with 5.1",
        (
            Reading("setting", _VPX, hint="opaque unless -c:v libvpx-vp9 is before its -i"),
            Reading("dark", frozenset({"exr"})),
            Reading("setting", hint="write overlay=format=gbrp:alpha={}"),
        ),
        copies=_EVERY,
        hdr=False,
    ),
    Host(
        "gstreamer",
        "GStreamer",
        ("prores", "prores-xq", "ffv1", "cineform", "qtrle", "webm"),
        "compositor, the clip on a sink of a higher zorder",
        "measured with 1.22",
        (_straight("prores", "ffv1", "cfhd", "qtrle", "vp9"),),
        copies=_EVERY,
        hdr=False,
    ),
    Host(
        "web",
        "web browsers other than Safari",
        ("webm", "webp", "apng", "gif", "png"),
        '<video src="talk.webm" muted autoplay></video>',
        "measured with Chromium 156",
        (
            Reading("straight", _VPX),
            Reading("straight", _MOVING),
            _PNG,
            Reading("refused"),
        ),
        copies=frozenset({"opus", "vorbis"}),
        plays=_MUSIC,
        mute={"alac": ""},
    ),
    Host(
        "safari",
        "Safari",
        ("prores", "apng", "webp", "gif", "png"),
        "on a Mac: avconvert --source talk.mov --preset PresetHEVCHighestQualityWithAlpha "
        "--output talk.mp4; mattecast has no encoder for HEVC with alpha",
        "read in Apple's session 506 of 2019 and Remotion's notes",
        (
            Reading("straight", _MOVING),
            _PNG,
            Reading("setting", frozenset({"hevc"}), hint="the file says that it is {}"),
            Reading("opaque", _VPX),
            Reading(
                "setting",
                frozenset({"prores"}),
                hint="make HEVC of it with avconvert on a Mac; it is {}",
            ),
            Reading("refused"),
        ),
        copies=_PCM,
    ),
)
HOSTS: Mapping[str, Host] = {row.name: row for row in _TABLE}
