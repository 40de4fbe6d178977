"""From decoded frames to the pictures that the network and the output work on."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from mattecast.filters.pictures.composite import Plane
from mattecast.flow import Immediate
from mattecast.media.colour import LINEAR
from mattecast.media.facts import Facts
from mattecast.media.fit import Fit
from mattecast.media.frame import EXACT, Frame, bare, components, same_planes, upright
from mattecast.media.gpu import (
    SEMIPLANAR,
    copied_to_device,
    downloaded,
    is_readable_by_torch,
    pixel_format_name,
    shrunk,
)
from mattecast.media.light import Light
from mattecast.media.managed import Managed, is_managed
from mattecast.media.turn import Turn
from mattecast.plan import Plan

# libswscale's quickest way to B, G, R, A, for live pictures: a tenth of the cost of the exact one,
# and 1.3 of 255 away from it in the mean. (Accurate rounding alone costs four times as much, is as
# far away, and makes white 253.)
QUICK = Interpolation.BILINEAR
# The guide of a frame whose picture stays on its device, or is not wanted.
_NO_GUIDE: Plane = np.empty((0, 0), np.uint8)
# A decoded frame, its pts in the output's time base, and how many output frames it fills.
Timed: TypeAlias = tuple[av.VideoFrame, int, int]


class OwnTimes(Immediate):
    """The stage that gives each frame its own time, counted from the start of the range."""

    name = "times"

    def __init__(self, facts: Facts, plan: Plan) -> None:
        self._shift = round(plan.origin / facts.time_base)

    def push(self, frame: av.VideoFrame) -> list[Timed]:
        """See flow.Stage."""
        assert frame.pts is not None
        return [(frame, frame.pts - self._shift, 1)]


class ConstantRate:
    """The stage that places frames at a constant rate.

    Each frame fills the output frames from the one nearest its own time until the next frame's. A
    frame that fills none is dropped. The first frame of a range fills it from its start: what is
    shown there in the clip is a frame before the range.
    """

    name = "times"

    def __init__(self, facts: Facts, plan: Plan) -> None:
        self._facts, self._plan = facts, plan
        self._held: tuple[av.VideoFrame, int] | None = None
        self._fills_start = plan.start is not None

    def push(self, frame: av.VideoFrame) -> list[Timed]:
        """See flow.Stage."""
        assert frame.pts is not None
        time = frame.pts * self._facts.time_base
        place = round((time - self._plan.origin) * self._plan.rate)
        if self._fills_start:
            place, self._fills_start = 0, False
        held, self._held = self._held, (frame, place)
        return [(*held, place - held[1])] if held and place > held[1] else []

    def flush(self) -> list[Timed]:
        """See flow.Stage."""
        held, self._held = self._held, None
        return [(*held, max(1, round(self._plan.rate / self._facts.rate)))] if held else []


class Convert(Immediate):
    """The stage that turns decoded frames into the upright pictures the network and the output use.

    network: (width, height) of the network's pictures. conversion: how exactly pictures are
    converted. small_only: only the network's pictures are wanted; frames keep the decoded picture
    and have no guide.
    """

    name = "convert"

    def __init__(
        self,
        facts: Facts,
        plan: Plan,
        network: tuple[int, int],
        *,
        conversion: Interpolation = EXACT,
        small_only: bool = False,
    ) -> None:
        self._facts, self._plan, self._small_only = facts, plan, small_only
        self._size = facts.turn.size(*plan.size)
        self._network = facts.turn.size(*network)
        self._conversion = conversion
        self._fit = Fit(facts)
        self._others: Convert | None = None
        self._light = Light(facts, plan) if facts.colour.transfer == LINEAR else None
        self._managed: Managed | None = None
        if facts.colour.profile is not None and is_managed(facts.colour, plan.colour):
            self._managed = Managed(facts.colour, facts.colour.profile, plan.colour.transfer)
        # One each: a reformatter keeps its tables as long as sizes and formats stay.
        self._to_output, self._to_network, self._to_gray = (VideoReformatter() for _ in range(3))

    def push(self, timed: Timed) -> list[Frame]:
        """See flow.Stage."""
        return [self._frame(*timed)]

    def _other(self) -> Convert:
        """The stage for pictures that were fitted or made of light, which are upright."""
        if self._others is None:
            facts = replace(self._facts, turn=Turn())
            if self._managed:
                facts = replace(facts, colour=facts.colour.as_rgb())
            if self._light:
                colour = replace(facts.colour.as_rgb(), transfer=self._plan.colour.transfer)
                width, height = self._plan.size
                facts = replace(facts, colour=colour, width=width, height=height)
            self._others = Convert(
                facts,
                self._plan,
                self._facts.turn.size(*self._network),
                conversion=self._conversion,
                small_only=self._small_only,
            )
        return self._others

    def _frame(self, decoded: av.VideoFrame, pts: int, repeats: int) -> Frame:
        if self._light:
            light, coded, inside = self._light(decoded)
            made = self._other()._frame(coded, pts, repeats)
            return replace(made, light=light, inside=inside)
        if self._managed:
            return self._other()._frame(self._managed(decoded), pts, repeats)
        if not is_readable_by_torch(decoded) and (other := self._fit(decoded)):
            return replace(self._other()._frame(other[0], pts, repeats), inside=other[1])
        duration = decoded.duration or round(1 / (self._facts.rate * self._facts.time_base))
        if self._plan.time_base != self._facts.time_base:
            duration = 1
        small = self._shrunk(decoded)
        if self._small_only:
            picture, guide = decoded, _NO_GUIDE
        elif self._plan.device is not None:
            picture, guide = self._placed(decoded, self._plan.device), _NO_GUIDE
        else:
            decoded = downloaded(decoded) if is_readable_by_torch(decoded) else decoded
            picture = self._picture(decoded)
            guide = self._guide(decoded, picture)
        return Frame(
            picture=picture,
            guide=guide,
            small=small,
            pts=pts,
            duration=max(1, duration),
            repeats=repeats,
        )

    def _placed(self, decoded: av.VideoFrame, device: str) -> av.VideoFrame:
        """The picture on the device, as the GPU's encoders take it; by way of memory only where
        it must be converted."""
        if not (is_readable_by_torch(decoded) and self._fits(decoded)):
            decoded = downloaded(decoded) if is_readable_by_torch(decoded) else decoded
            decoded = self._picture(decoded).reformat(format=SEMIPLANAR[self._plan.pixels])
        return copied_to_device(decoded, device)

    def _fits(self, decoded: av.VideoFrame) -> bool:
        """Whether a decoded frame is the output's as it is."""
        source, target = self._facts.colour, self._plan.colour
        return (
            not self._facts.turn
            and (decoded.width, decoded.height) == self._plan.size
            and pixel_format_name(decoded) == SEMIPLANAR[self._plan.pixels]
            and (source.matrix, source.range) == (target.matrix, target.range)
        )

    def _picture(self, decoded: av.VideoFrame) -> av.VideoFrame:
        """The frame in the output's pixel format, matrix and range; free to be written into."""
        source, target = self._facts.colour, self._plan.colour
        name = self._plan.working_pixels
        picture = same_planes(decoded, self._size, name) or self._to_output.reformat(
            decoded,
            *self._size,
            name,
            interpolation=self._conversion,
            src_colorspace=source.swscale_matrix,
            src_color_range=source.range,
            dst_colorspace=target.swscale_matrix,
            dst_color_range=target.range,
            threads=1,
        )
        if picture is decoded:
            # The decoder may still predict from this buffer.
            picture.make_writable()
        turned = upright(picture, self._facts.turn)
        # A profile that the output may have is written from the plan, once.
        return bare(turned) if source.profile and turned is picture else turned

    def small(self, decoded: av.VideoFrame) -> NDArray[np.uint8]:
        """A decoded frame as the network sees it, upright: (h, w, 3) uint8 RGB."""
        if self._light:
            return self._other()._shrunk(self._light(decoded)[1])
        if self._managed:
            return self._other().small(self._managed(decoded))
        other = None if is_readable_by_torch(decoded) else self._fit(decoded)
        return self._other()._shrunk(other[0]) if other else self._shrunk(decoded)

    def _shrunk(self, decoded: av.VideoFrame) -> NDArray[np.uint8]:
        colour = self._facts.colour
        if is_readable_by_torch(decoded):
            picture = shrunk(decoded, self._network, colour)
        else:
            enlarged = self._network[0] > decoded.width
            small = self._to_network.reformat(
                decoded,
                *self._network,
                "rgb24",
                interpolation=Interpolation.BICUBIC if enlarged else Interpolation.AREA,
                src_colorspace=colour.swscale_matrix,
                src_color_range=colour.range,
                threads=1,
            )
            picture = small.to_ndarray().astype(np.uint8, copy=False)
        return np.ascontiguousarray(self._facts.turn.upright(picture))

    def _guide(self, decoded: av.VideoFrame, picture: av.VideoFrame) -> Plane:
        """Luma at the output's size: the picture's own plane where it has one."""
        if picture.format.name.startswith("yuv"):
            return components(picture)[0]
        if (
            decoded.format.name.startswith("yuv")
            and decoded.format.components[0].bits == 8
            and (decoded.width, decoded.height) == self._size
        ):
            # Code for code what the conversion below gives, at a fifth of its cost.
            scale, offset = self._facts.colour.luma_units(8)
            gain = 255 / scale
            luma = cv2.convertScaleAbs(components(decoded)[0], alpha=gain, beta=-offset * gain)
            return np.ascontiguousarray(self._facts.turn.upright(luma), np.uint8)
        gray = self._to_gray.reformat(
            decoded, *self._size, "gray", interpolation=self._conversion, threads=1
        )
        return components(upright(gray, self._facts.turn))[0]
