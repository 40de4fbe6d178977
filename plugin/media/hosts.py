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
    step=_BLENDER_STEP,
    known="measured with 3.4.1, 4.2.23, 4.3.0",
    readings=(
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
    step=_BLENDER_STEP,
    known="measured with 4.4.0, 4.5.15",
    readings=(
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
    step="a transition such as qtblend or affine between the tracks",
    known="measured with melt 7.12",
    readings=(
        Reading("opaque", yuv=True, deep=True),
        Reading("dark", frozenset({"exr"})),
        _straight("qtrle", "cfhd", "png", "vp9"),
    ),
    copies=_EVERY,
    hdr=False,
)
_TRACK = "a track above another"
_GUESSED = "the kind of alpha is guessed from the pictures; it has to be {}"
# mattecast has no encoder for HEVC with alpha: x265 has none.
_AVCONVERT = (
    "make HEVC of it on a Mac: avconvert --preset PresetHEVCHighestQualityWithAlpha "
    "--source talk.mov --output talk.mp4"
)
_ON_MLT = "not tried itself; it builds on MLT, measured with melt 7.12"
_TABLE = (
    Host(
        "blender",
        "Blender",
        ("qtrle", "png"),
        step=_BLENDER_STEP,
        known="measured with 3.4.1 to 5.3.0",
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
        step=_TRACK,
        known="read in the manual of Resolve 18.6 and in issues of tools for Linux",
        readings=(_asking("set Clip Attributes, Video, Alpha Mode to {}", "prores", "exr", "png"),),
        copies=_PCM,
        plays=frozenset({"mp3"}),
        mute={"aac": " on Linux"},
    ),
    Host(
        "premiere",
        "Premiere Pro",
        ("prores", "prores-xq", "png"),
        step=_TRACK,
        known="read in Adobe's Classroom in a Book and list of formats, and fnord's WebM plug-in",
        readings=(
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
        step="a layer above another",
        known="read in Adobe's help",
        readings=(
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
        step="a clip above another",
        known="read in the manual of Final Cut Pro 6",
        readings=(_asking(_GUESSED, "prores", "png"),),
        copies=_PCM,
    ),
    Host(
        "avid",
        "Avid Media Composer",
        (FILL_KEY, "prores"),
        step="the effect Matte Key takes fill and key from two tracks",
        known="read in Avid's QuickTime guide and manual",
        readings=(_asking("import it, since linked clips lose alpha; it is {}", "prores"),),
        copies=_PCM,
    ),
    Host(
        "vegas",
        "VEGAS Pro",
        ("prores", "png"),
        step=_TRACK,
        known="read in the manual of Vegas Pro",
        readings=(
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
        step="Add Input, Image Sequence / Stinger; sound goes beside it as FIRST.png.wav",
        known="read in the user guide of vMix",
        readings=(_PNG,),
        copies=_PCM,
        depth=8,
    ),
    Host(
        "obs",
        "OBS Studio",
        ("prores", "qtrle", "webm", "png"),
        step="Media Source, Local File",
        known="measured with 29.0.2",
        readings=(
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
        step="PLAY 1-10 CLIP on a layer above another",
        known="read in its issue 574 and pull request 1800",
        readings=(
            _PNG,
            Reading("premultiplied"),
        ),
        copies=_EVERY,
    ),
    Host(
        "nuke",
        "Nuke",
        ("exr", "prores"),
        step="Read, then Merge over",
        known="read in Foundry's reference guide",
        readings=(_EXR, Reading("setting", hint="Merge takes premultiplied colours; these are {}")),
        copies=_PCM,
    ),
    Host(
        "fusion",
        "Fusion",
        ("exr", "prores"),
        step="MediaIn or Loader, then Merge",
        known="read in the manual of Resolve 18.6",
        readings=(
            _EXR,
            _asking("set Clip Attributes, Video, Alpha Mode to {}", "prores", "png"),
        ),
        copies=_PCM,
    ),
    Host(
        "ffmpeg",
        "FFmpeg",
        ("prores", "prores-xq", "ffv1", "cineform", "qtrle", "png"),
        step="the filter overlay",
        known="measured with 5.1",
        readings=(
            Reading("setting", _VPX, hint="opaque unless -c:v libvpx-vp9 is before its -i"),
            Reading("dark", frozenset({"exr"})),
            Reading("setting", hint="write overlay=format=gbrp:alpha={}"),
        ),
        copies=_EVERY,
    ),
    Host(
        "gstreamer",
        "GStreamer",
        ("prores", "prores-xq", "ffv1", "cineform", "qtrle", "webm"),
        step="compositor, the clip on a sink of a higher zorder",
        known="measured with 1.22",
        readings=(_straight("prores", "ffv1", "cfhd", "qtrle", "vp9"),),
        copies=_EVERY,
    ),
    Host(
        "web",
        "web browsers other than Safari",
        ("webm", "webp", "apng", "gif", "png"),
        step="a <video> element; <img> for moving pictures",
        known="measured with Chromium 156",
        readings=(
            Reading("straight", _VPX),
            Reading("straight", _MOVING),
            _PNG,
            Reading(
                "refused", frozenset({"prores", "qtrle", "cfhd", "ffv1", "png"}), pictures=False
            ),
        ),
        copies=frozenset({"opus", "vorbis"}),
        plays=_MUSIC,
        mute={"alac": ""},
    ),
    Host(
        "safari",
        "Safari",
        ("prores", "apng", "webp", "gif", "png"),
        step="a <video> element; <img> for moving pictures",
        known="read in Apple's session 506 of 2019 and Remotion's notes",
        readings=(
            Reading("straight", _MOVING),
            _PNG,
            Reading("setting", frozenset({"hevc"}), hint="the file says that it is {}"),
            Reading("opaque", _VPX),
            _asking(_AVCONVERT, "prores"),
        ),
        copies=_PCM,
    ),
)
HOSTS: Mapping[str, Host] = {row.name: row for row in _TABLE}
