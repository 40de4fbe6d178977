"""Everything a run can be asked for, in one table: each field of Settings is an option."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mattecast.errors import UsageError
from mattecast.media.formats import FILL_KEY, FORMATS, NAMES, PRORES_QUALITY, resolved
from mattecast.media.hosts import HOSTS
from mattecast.media.pipe import is_pipe
from mattecast.options import Slider, check_choice, check_range, option, rows

SOLVERS = (
    "closed-form",
    "knn",
    "random-walk",
    "learning-based",
    "shared",
    "bayesian",
    "global",
    "poisson",
)
TINT = 0.25  # of --blend poisson
SMOOTHING = ("off", "causal", "delayed", "two-way")
LIVE_SMOOTHING = SMOOTHING[:3]  # these wait for no more than one later picture
_KINDS = "; ".join(f"{row.name}: {row.about}" for row in FORMATS.values())
# The headings that options stand under.
_OUTPUT, _SMOOTHING, _EDGES = "output", "refinement", "edges and colours"
_COMPOSITES, _GUIDANCE, _NETWORK = "composites", "guidance", "network"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to matte a clip: one field an option, in one frozen object.

    Each field's help says what it does, see mattecast.options; `mattecast matte --help` lists them.
    Raises UsageError for a value of another type and for a value that is not allowed.
    """

    format: str | None = option(
        None,
        f"guessed from OUT, else prores. {_KINDS}; {FILL_KEY}: two clips, picture and matte",
        _OUTPUT,
        metavar="NAME",
        choices=NAMES,
    )
    host: str | None = option(
        None,
        "the program that will read the output; it chooses format, straight or premultiplied "
        "colours, depth and sound, where nothing else does: " + ", ".join(HOSTS),
        _OUTPUT,
        metavar="HOST",
        flag="--for",
        choices=tuple(HOSTS),
    )
    quality: str = option(
        "high",
        "quality of ProRes: max is the best and the slowest",
        _OUTPUT,
        choices=tuple(PRORES_QUALITY),
    )
    premultiplied: bool | None = option(
        None, "multiply colours by alpha (default: straight; EXR premultiplied)", _OUTPUT
    )
    depth: int | None = option(
        None, "bits of PNG or EXR (default: the source's)", _OUTPUT, choices=(8, 16, 32)
    )
    track: int | None = option(
        None,
        "video track to matte, counted from 1 as probe lists them (default: the one that the file "
        "marks as its default, else the first)",
        _OUTPUT,
        metavar="N",
        least=1,
        most=1000,
    )
    range: str | None = option(
        None,
        "part to matte: seconds (12.5, 1001/24000), [HH:]MM:SS.s, or timecode HH:MM:SS:FF; open "
        "ends allowed",
        _OUTPUT,
        metavar="START..END",
    )
    handles: int = option(
        0,
        "frames more before and after --range, as far as the clip has them",
        _OUTPUT,
        metavar="N",
        least=0,
        most=1_000_000,
    )
    size: str | None = option(None, "output size, or a height such as 720p", _OUTPUT, metavar="WxH")
    cfr: Fraction | None = option(
        None, "constant output rate, such as 25 or 29.97", _OUTPUT, metavar="RATE"
    )
    rate: Fraction | None = option(
        None, "rate of pictures read, which have no times (default: 25)", _OUTPUT, metavar="RATE"
    )
    raw: str | None = option(
        None,
        "standard input is pictures without any header: libav's name of their pixel format, and "
        "their size, such as rgba:1920x1080; --rate says how many a second",
        _OUTPUT,
        metavar="PIXELS:WxH",
    )
    start: int | None = option(
        None,
        "number of the first picture of a sequence written (default: the source's own, else 0)",
        _OUTPUT,
        metavar="N",
        least=0,
        most=999_999_999,
    )
    deinterlace: str | None = option(
        None,
        "interlaced frames: off mattes them as they are; frame makes one picture of two fields; "
        "field makes a picture of each, at twice the rate (default: frame, for what is marked "
        "interlaced)",
        _OUTPUT,
        choices=("off", "frame", "field"),
    )
    sdr: bool | None = option(
        None,
        "make HDR (HLG, PQ) standard BT.709: highlights are compressed, the rest stays as bright "
        "(default: for outputs of 8 bits)",
        _OUTPUT,
    )
    audio: bool = option(True, "keep the sound", _OUTPUT)
    lossless_audio: bool = option(
        False,
        "in .mp4, copy all sound that fits and encode the rest as FLAC (default: copy what "
        "browsers play and encode the rest as AAC)",
        _OUTPUT,
    )
    place: bool = option(True, "keep where the clip was filmed", _OUTPUT)
    whole_picture: bool = option(
        False, "keep the source's colours where alpha is 0 too, instead of black", _OUTPUT
    )
    sidecar: str | None = option(
        None,
        "write a file of this kind beside each output, which tells editors its timecode, rate and "
        "alpha: otio, fcpxml, edl, or several with commas between them",
        _OUTPUT,
        metavar="KINDS",
        choices=("otio", "fcpxml", "edl"),
        several=True,
    )
    overwrite: bool = option(False, "replace existing outputs", _OUTPUT)

    smooth: str = option(
        "two-way",
        "smooth the matte over time: off; causal uses past frames; delayed also uses the next "
        "frame; two-way uses frames on both sides; strength 0 to 1",
        _SMOOTHING,
        metavar="HOW[:STRENGTH]",
        choices=SMOOTHING,
        amount=(0, 1),
        live=True,
        live_default="causal",
        live_help="smooth the matte over time: off; causal uses past pictures; delayed also uses "
        "the next picture, so that each comes one later; strength 0 to 1",
        slider=Slider("smoothing", 0, 1, 0.05),
    )
    cuts: bool = option(True, "look for cuts; at a cut the network starts anew", _SMOOTHING)
    detail: str = option(
        "medium",
        "how soft edges are found: fast takes the network's own; medium solves them again at the "
        "network's size; fine solves them once more at the picture's size, which is slower",
        _SMOOTHING,
        choices=("fast", "medium", "fine"),
    )
    refine: str | None = option(
        None,
        f"a classical solver of soft edges, for stills and short clips: {', '.join(SOLVERS)}; all "
        "but the last three need mattecast[refine]",
        _SMOOTHING,
        metavar="SOLVER",
        choices=SOLVERS,
        gpu=False,
    )

    foreground: str = option(
        "estimate",
        "colours under soft edges: the person's own, or the source's",
        _EDGES,
        choices=("estimate", "source"),
        live=True,
    )
    despill: str | None = option(
        None,
        "take a green or blue wall's light off the person's edge: green, blue or auto, strength "
        "0 to 1 (default: off)",
        _EDGES,
        metavar="WALL[:STRENGTH]",
        choices=("green", "blue", "auto"),
        amount=(0, 1),
        live=True,
        gpu=False,
    )
    choke: float = option(
        0.0,
        "move the edge inwards, by fractions of a pixel too; negative values spread it",
        _EDGES,
        metavar="PIXELS",
        least=-100,
        most=100,
        live=True,
        slider=Slider("edge inwards", -5, 5, 0.25),
        gpu=False,
    )
    feather: float = option(
        0.0,
        "soften the edge",
        _EDGES,
        metavar="PIXELS",
        least=0,
        most=100,
        live=True,
        slider=Slider("feather", 0, 10, 0.25),
        gpu=False,
    )
    gamma: float = option(
        1.0,
        "exponent of soft alpha: values above 1 make it denser, values below 1 thinner",
        _EDGES,
        metavar="GAMMA",
        least=0.1,
        most=10,
        live=True,
        slider=Slider("soft alpha", 0.3, 3, 0.05),
        gpu=False,
    )
    threshold: float | None = option(
        None,
        "make the edge hard at this alpha (default: the edge stays soft)",
        _EDGES,
        metavar="ALPHA",
        least=0,
        most=1,
        live=True,
        gpu=False,
    )
    min_island: float | None = option(
        None,
        "remove separate pieces of the matte that cover less than this much of the picture and are "
        "faint, brief, or far from every person; delays each picture by one frame "
        "(default: 2 in files, 0 live)",
        _EDGES,
        metavar="PERCENT",
        least=0,
        most=50,
        live=True,
    )
    min_hole: float = option(
        0.0,
        "fill holes in the matte that cover less than this much of the picture and are faint or "
        "brief; delays each picture by one frame",
        _EDGES,
        metavar="PERCENT",
        least=0,
        most=50,
        live=True,
    )

    background: str | None = option(
        None,
        "composite over a colour name, #rrggbb, a picture, a video, blur[:strength] or "
        "bokeh[:strength]; none keeps alpha (default: none; green for h264 and hevc, white for "
        "jpeg)",
        _COMPOSITES,
        metavar="WHAT",
        live=True,
        live_default="none",
        live_help="none (alpha), a colour name, #rrggbb, a picture, a video, blur[:strength] or "
        "bokeh[:strength]",
    )
    blend: str = option(
        "over",
        "over lays the person over the background; poisson[:TINT] also gives the person the "
        "background's light, from none (TINT 0) to all of it (1, which is black before a night); "
        "poisson without a TINT takes 0.25",
        _COMPOSITES,
        metavar="HOW",
        live=True,
        gpu=False,
    )
    light_wrap: float = option(
        0.0,
        "let background light spill over the person's edges, 0 to 1",
        _COMPOSITES,
        metavar="SHARE",
        least=0,
        most=1,
        live=True,
        gpu=False,
    )
    shadow: float = option(
        0.0,
        "let the person cast a soft shadow on the background, 0 to 1",
        _COMPOSITES,
        metavar="SHARE",
        least=0,
        most=1,
        live=True,
        gpu=False,
    )
    colour_match: float = option(
        0.0,
        "bring the person's colours to the background's, 0 to 1",
        _COMPOSITES,
        metavar="SHARE",
        least=0,
        most=1,
        live=True,
        gpu=False,
    )
    linear_light: bool = option(False, "blend in linear light", _COMPOSITES, live=True, gpu=False)

    guidance: str | None = option(
        None,
        "masks, plate, persons, corrections (default: CLIP.mattecast.json if it is there), or off",
        _GUIDANCE,
        metavar="FILE",
    )
    garbage: str | None = option(
        None,
        "mask of what is never a person; the mask is white there",
        _GUIDANCE,
        metavar="PICTURE",
        live=True,
    )
    keep: str | None = option(
        None,
        "mask of what always stays; the mask is white there",
        _GUIDANCE,
        metavar="PICTURE",
        live=True,
    )
    plate: str | None = option(
        None, "the same view without people", _GUIDANCE, metavar="PICTURE", live=True
    )
    person: str | None = option(
        None,
        "keep only the person at this place; X and Y go from 0 (left, top) to 1 (right, bottom)",
        _GUIDANCE,
        metavar="X,Y[@SECONDS]",
        live=True,
    )
    first_mask: str | None = option(
        None, "the true matte of the first frame", _GUIDANCE, metavar="PICTURE"
    )
    trimap: str | None = option(
        None,
        "trimap of the first frame: white is person, black is background, gray is unknown",
        _GUIDANCE,
        metavar="PICTURE",
    )

    model: str = option(
        "default",
        "network, by name or file; 'default' is inside mattecast",
        _NETWORK,
        metavar="NAME",
        live=True,
    )
    backend: str = option(
        "auto",
        "what runs the network; auto takes the first back-end that loads",
        _NETWORK,
        choices=("auto", "openvino", "tensorrt", "torch"),
        live=True,
    )
    device: str = option(
        "auto",
        "cpu, cuda, cuda:1, or OpenVINO's GPU, GPU.1, NPU",
        _NETWORK,
        metavar="NAME",
        live=True,
    )
    precision: str = option(
        "auto",
        "how many bits the network computes with",
        _NETWORK,
        choices=("auto", "f32", "bf16", "f16", "int8"),
        live=True,
    )
    threads: int | None = option(
        None,
        "threads of the network (default: all cores for small pictures, half for large and live)",
        _NETWORK,
        metavar="N",
        live=True,
    )
    network_size: int | None = option(
        None,
        "long side that the network sees, 64 to 4096 (default: the model's own)",
        _NETWORK,
        metavar="PIXELS",
        least=64,
        most=4096,
        live=True,
        live_help="long side that the network sees, 64 to 4096 (default: it follows --latency)",
    )
    fallback: bool = option(
        False,
        "when a GPU fails in mid-clip, go on with the CPU instead of ending the run",
        _NETWORK,
    )
    gpu_video: bool = option(
        False,
        "decode, and encode H.264 and HEVC, on an NVIDIA GPU; a line says why where none can",
        _NETWORK,
    )

    def __post_init__(self) -> None:
        for row in rows(Settings):
            row.check(getattr(self, row.name))
        self.tint()
        for name in ("cfr", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1000:
                raise UsageError(f"{name}: {value} frames a second is out of range (0 to 1000)")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"threads: {self.threads} is not a positive number")

    def tint(self) -> float | None:
        """How much of the background's light 'poisson[:TINT]' puts on the person, 0 to 1; None for
        'over'."""
        name, colon, tint = self.blend.partition(":")
        check_choice("blend", name, ("over", "poisson"))
        if name == "over":
            if colon:
                raise UsageError(f"blend '{self.blend}': over takes no amount")
            return None
        check_range("blend poisson tint", tint or TINT, 0, 1)
        return float(tint or TINT)

    @property
    def sidecars(self) -> tuple[str, ...]:
        """The kinds of sidecars, each once."""
        return tuple(dict.fromkeys((self.sidecar or "").split(","))) if self.sidecar else ()

    def resolved_format(self, output: Path | None) -> str:
        """The format's name: as asked for, else the host's, else guessed from the output.

        Raises UsageError where the output is named as another format.
        """
        if self.format is None and self.host is not None and not is_pipe(output):
            return HOSTS[self.host].format(output)
        return resolved(self.format, output)


def parse_rate(text: str) -> Fraction:
    """'25', '29.97', '24000/1001' or 'ntsc' style rates; 23.976, 29.97 and 59.94 are exact NTSC.

    Raises ValueError for anything else.
    """
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9}|/0*[1-9]\d{0,8})?", text, re.ASCII):
        raise ValueError(f"'{text}' is not a frame rate (25, 29.97, 24000/1001)")
    rate = Fraction(text)
    for nominal in (24, 30, 48, 60, 120):
        ntsc = Fraction(nominal * 1000, 1001)
        if "/" not in text and rate != nominal and abs(rate - ntsc) < Fraction(1, 100):
            return ntsc
    if not 0 < rate <= 1000:
        raise ValueError(f"'{text}' is not a frame rate between 0 and 1000")
    return rate


def parse_size(text: str, width: int, height: int) -> tuple[int, int]:
    """'1280x720', or '720p' (width follows the shape, even) for a source of width x height.

    Raises UsageError for text that is neither, and for sides outside 16 to 16384.
    """
    match = re.fullmatch(r"(?:(\d{1,5})x)?(\d{1,5})p?", text.lower(), re.ASCII)
    tall = int(match[2]) if match else 0
    wide = int(match[1]) if match and match[1] else max(2, round(width * tall / height / 2) * 2)
    if not all(16 <= side <= 16384 for side in (wide, tall)):
        raise UsageError(
            f"size '{text}': expected WIDTHxHEIGHT or a height such as 720p, sides 16 to 16384"
        )
    return wide, tall
