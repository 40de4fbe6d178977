"""How a decoded picture becomes upright: what its display matrix says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import av
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from av.sidedata.sidedata import SideData

Array = TypeVar("Array", bound=NDArray[Any])
_MATRIX = "DISPLAYMATRIX"
# An angle this near to a quarter turn (degrees) is one: files hold angles in 1/65536.
_NEAR = 0.01


@dataclass(frozen=True, slots=True)
class Turn:
    """What makes a decoded picture upright. Without arguments, nothing has to be done.

    mirrored: whether the picture is mirrored top to bottom, before it is turned.
    angle: degrees counter-clockwise by which the picture is turned then, in [0, 360).
    """

    angle: float = 0.0
    mirrored: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame, *, still: bool = False) -> Turn:
        """The turn that a frame's display matrix says.

        A matrix (ISO/IEC 14496-12, 6.2.2) takes a place (x, y) to (a x + c y, b x + d y), with y
        downwards. Mirroring top to bottom leaves the first row (a, b) alone, so that row holds the
        angle. Sizes and shear of a matrix are no turn. still: whether the frame is of a picture
        file, of which the decoder has mirrored what is to be mirrored.
        """
        if still:
            # PyAV 18 frees the name of a PNG's ICC profile twice once side data is looked at.
            return cls(frame.rotation % 360)
        try:
            found = cast("SideData | None", frame.side_data.get(_MATRIX))
        except ValueError:
            # PyAV 18 lists nothing of a frame that has side data of a kind unknown to it, which
            # Exif of photographs and the two views of MV-HEVC are. It still tells the angle.
            return cls(frame.rotation % 360)
        if found is None:
            return cls()
        a, b, _, c, d = (int(each) for each in np.frombuffer(bytes(found), np.int32)[:5])
        angle = round(-math.degrees(math.atan2(b, a)) % 360, 3) % 360
        return cls(angle, mirrored=a * d - b * c < 0)

    @property
    def quarters(self) -> int:
        """Quarter turns counter-clockwise, 0 to 3; the nearest for other angles."""
        return round(self.angle / 90) % 4

    @property
    def sideways(self) -> bool:
        """Whether width and height change places."""
        return self.quarters % 2 == 1

    @property
    def exact(self) -> bool:
        """Whether quarter turns are all that is asked for."""
        return abs(self.angle - 90 * round(self.angle / 90)) < _NEAR

    def __bool__(self) -> bool:
        return self.mirrored or self.quarters != 0

    def __str__(self) -> str:
        done = ["mirrored top to bottom"] * self.mirrored
        done += [f"turned by {90 * self.quarters} degrees"] * bool(self.quarters)
        return ", ".join(done) or "upright"

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) after the turn, from those before it, or the other way round."""
        return (height, width) if self.sideways else (width, height)

    def upright(self, plane: Array) -> Array:
        """A view of a (H, W) or (H, W, n) picture, mirrored and turned."""
        return np.rot90(plane[::-1] if self.mirrored else plane, self.quarters)  # type: ignore[return-value]
