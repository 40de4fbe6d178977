"""The words that findings on a clip share: colours, rates, times, and sound against picture."""

from __future__ import annotations

from fractions import Fraction

from av.video.reformatter import ColorPrimaries, ColorTrc

from mattecast.inspect.finding import Finding, ok, warning

# H.273 codes of (primaries, transfer, matrix).
Codes = tuple[int, int, int]

# A clip without alpha is no error: composites and gray mattes are opaque too.
OPAQUE = "none: hosts show the clip opaque, as is right for composites and mattes, not for cut-outs"

# Samples of an AAC frame: the tolerance for sound that has no frames of its own (PCM).
AUDIO_FRAME = 1024
# H.273 matrix codes; PyAV's own names for them follow the decoder's history instead.
MATRICES = {0: "RGB", 1: "BT709", 5: "BT470BG", 6: "SMPTE170M", 7: "SMPTE240M", 9: "BT2020_NCL"}


def colour(codes: Codes) -> str:
    """H.273 (primaries, transfer, matrix) as '1-1-1 (BT709, BT709, BT709)'."""
    primaries, transfer, matrix = codes
    names = [
        next((each.name for each in ColorPrimaries if each.value == primaries), "unknown"),
        next((each.name for each in ColorTrc if each.value == transfer), "unknown"),
        MATRICES.get(matrix, "unknown"),
    ]
    named = ", ".join("unknown" if name == "UNSPECIFIED" else name for name in names)
    return f"{primaries}-{transfer}-{matrix} ({named})"


def rate(value: Fraction) -> str:
    """A frame rate as a fraction and as a decimal number: '24000/1001 (23.976) frames/s'."""
    decimal = f" ({float(value):.3f})" if value.denominator > 1 else ""
    return f"{value}{decimal} frames/s"


def milliseconds(seconds: Fraction) -> str:
    """Signed, to a tenth: '+21.3 ms'."""
    return f"{float(seconds * 1000):+.1f} ms"


def sync(
    name: str,
    audio: tuple[Fraction, Fraction | None],
    video: tuple[Fraction, Fraction | None],
    frame: Fraction,
) -> Finding:
    """Audio held against video, each (start, end) in seconds; a warning beyond one audio frame."""
    begins = ends = audio[0] - video[0]
    text = f"{name} starts {milliseconds(begins)}"
    if audio[1] is not None and video[1] is not None:
        ends = audio[1] - video[1]
        text += f" and ends {milliseconds(ends)}"
    text += f" against the video (one audio frame: {float(frame * 1000):.1f} ms)"
    return (warning if max(abs(begins), abs(ends)) > frame else ok)("audio", text)
