"""Video on an NVIDIA GPU: decoding and encoding there, or on the CPU with the reason said aloud.

Decoded frames stay on the GPU where torch is there to work on them. Composites for the GPU's
encoder are made there too (see mattecast.compositing.gpu) and never leave it; for everything else
the output's own picture is downloaded once, through pinned memory, since filters and alpha formats
work on the CPU. No NVIDIA encoder takes alpha, so only H.264 and HEVC are encoded there.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np
from av.codec.hwaccel import HWAccel
from av.video.frame import CudaContext
from numpy.typing import NDArray

from mattecast.engines import EngineError
from mattecast.engines.cuda import no_driver
from mattecast.media.colour import Colour
from mattecast.options import rows
from mattecast.plan import Plan
from mattecast.settings import Settings

if TYPE_CHECKING:
    import torch

    from mattecast.matting.guidance import Guidance

_LOG = logging.getLogger("mattecast")
# What libav and torch raise where a driver, a device or a feature of one is missing.
_REFUSALS = (av.error.FFmpegError, OSError, ValueError, NotImplementedError, RuntimeError)
_ENCODERS = {"libx264": "h264_nvenc", "libx265": "hevc_nvenc"}
# Constant quality near that of the CPU's encoders (crf 18 and 20); no bit rate is aimed at.
_QUALITY = {"preset": "p5", "rc": "vbr", "cq": "19", "b": "0"}
# Formats of decoded frames that DLPack describes, and the bits of their codes.
BITS = {"nv12": 8, "p010le": 10, "p016le": 16}
# Our planar formats as those of the GPU's encoders.
SEMIPLANAR = {"yuv420p": "nv12", "yuv420p10le": "p010le"}
# Rows of pictures on a GPU begin at multiples of this, as FFmpeg's own do.
_ALIGNED = 256
# Join the context torch has made current. The primary one is the same, but FFmpeg refuses to join
# it by that name once torch or TensorRT have made it with flags other than FFmpeg's own.
_CONTEXT = {"primary_ctx": "0", "current_ctx": "1"}


def decoder(device: str = "auto") -> HWAccel | None:
    """What makes av.open decode on a GPU ('cuda:1' is the second), or None where none can.

    To be used on the thread that calls this.
    """
    index = _index(device)
    owned = _torch_on_gpu()
    try:
        if owned:
            _make_current(int(index))
        accel = HWAccel(
            "cuda",
            index,
            allow_software_fallback=True,
            is_hw_owned=owned,
            options=dict(_CONTEXT) if owned else None,
        )
        accel.create(av.Codec("h264", "r"))
    except _REFUSALS as error:
        _LOG.warning("no GPU decodes here (%s); the CPU does", no_driver() or _reason(error))
        return None
    return accel


def encoded_on_gpu(plan: Plan, settings: Settings, guidance: Guidance) -> Plan:
    """The plan with the GPU's encoder for the CPU's, where there is one and it takes this plan,
    and with its composites made there, where only the plain ones are asked for."""
    codec = _ENCODERS.get(plan.format.codec)
    if codec is None:
        return plan
    encoded = SEMIPLANAR[plan.pixels]
    try:
        context = av.CodecContext.create(codec, "w")
        context.width, context.height = (  # type: ignore[attr-defined]
            side + extra for side, extra in zip(plan.size, plan.padding, strict=True)
        )
        context.pix_fmt, context.options = encoded, dict(_QUALITY)  # type: ignore[attr-defined]
        context.time_base = plan.time_base
        context.open()
    except _REFUSALS as error:
        reason = no_driver() or f"{codec}: {_reason(error)}"
        _LOG.warning("no GPU encodes this (%s); the CPU does", reason)
        return plan
    format = replace(plan.format, codec=codec)
    plan = replace(plan, format=format, options=_QUALITY, encoded=encoded)
    if reasons := _beyond(plan, settings, guidance):
        _LOG.warning("composites are made on the CPU (%s); the GPU encodes them", reasons)
        return plan
    return replace(plan, encoded="cuda", device=f"cuda:{_index(settings.device)}")


def _beyond(plan: Plan, settings: Settings, guidance: Guidance) -> str:
    """Why the GPU cannot make these composites; '' where it can."""
    usual = Settings()
    asked = [row.name for row in rows(Settings) if not row.option.gpu]
    unusual = [name for name in asked if getattr(settings, name) != getattr(usual, name)]
    told = guidance.before or guidance.garbage or guidance.keep
    cases = {
        "guidance": told,
        "bokeh": (plan.background or "").startswith("bokeh"),
        "fine detail": settings.detail == "fine",
        "odd sizes": any(plan.padding),
        "torch sees no GPU": not _torch_on_gpu(),
    }
    reasons = [*(name.replace("_", "-") for name in unusual), *(k for k, v in cases.items() if v)]
    return ", ".join(reasons)


def shrinks(frame: av.VideoFrame) -> bool:
    """Whether torch takes this frame: on a GPU, of a format and size that can be handed over."""
    on_gpu = frame.sw_format is not None
    # DLPack describes only whole pixels of chroma.
    return on_gpu and form(frame) in BITS and not (frame.width % 2 or frame.height % 2)


def form(frame: av.VideoFrame) -> str:
    """The pixel format of a frame, wherever it lies: one on a GPU says only that it is there."""
    return (frame.sw_format or frame.format).name


@contextmanager
def on_gpu() -> Iterator[None]:
    """A full or a dead GPU in one line."""
    try:
        yield
    except RuntimeError as error:
        reason = _reason(error)
        raise EngineError(
            f"the GPU failed on a picture ({reason}); without --gpu-video the CPU does its work"
        ) from error


def tensors(frame: av.VideoFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Writable views of an NV12, P010 or P016 frame where it lies: luma (H, W) and chroma
    (H/2, W/2, 2), uint8 or uint16; P010 has its ten bits uppermost.

    The decoder and torch both use the default stream, so no one has to wait.
    """
    from torch.utils.dlpack import from_dlpack

    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in frame.planes)
    return luma, chroma


@on_gpu()
def shrunk(frame: av.VideoFrame, size: tuple[int, int], colour: Colour) -> NDArray[np.uint8]:
    """The frame as (h, w, 3) uint8 RGB of size (width, height), computed where it lies.

    frame: NV12, P010 or P016, on a GPU or in memory. colour: its tags. Sides are means over what
    they cover; planes that are smaller than size are enlarged by cubic convolution.
    """
    import torch
    from torch.nn import functional

    bits = BITS[form(frame)]
    parts = []
    for plane in tensors(frame):
        codes = plane.float()
        codes = codes.reshape(*codes.shape[:2], -1).permute(2, 0, 1)[None]
        mode = "area" if plane.shape[0] >= size[1] else "bicubic"
        parts.append(functional.interpolate(codes, size[::-1], mode=mode)[0])
    codes = torch.cat(parts) / (64 if bits == 10 else 1)
    forward = colour.from_rgb(bits).astype(np.float64)
    back = torch.from_numpy(np.linalg.inv(forward[:, :3]).astype(np.float32)).to(codes.device)
    offset = torch.from_numpy(forward[:, 3].astype(np.float32)).to(codes.device)
    rgb = torch.einsum("ij,jhw->hwi", back, codes - offset[:, None, None])
    picture: NDArray[np.uint8] = (rgb + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    return picture


@on_gpu()
def downloaded(frame: av.VideoFrame) -> av.VideoFrame:
    """The same frame in memory: NV12, P010 or P016, as it is.

    From a GPU through pinned memory, which it copies to by itself; torch keeps such memory for the
    next frame once this one is gone.
    """
    import torch

    luma, chroma = tensors(frame)
    parts = _copied(luma, chroma, "cpu", pinned=luma.is_cuda)
    if luma.is_cuda:
        torch.cuda.current_stream(luma.device).synchronize()
    here = av.VideoFrame.from_dlpack([part.numpy() for part in parts], format=form(frame))
    _inherit(here, frame)
    return here


@on_gpu()
def placed(frame: av.VideoFrame, device: str) -> av.VideoFrame:
    """A copy of an NV12 or P010 frame on a device of torch's, free to be written into."""
    luma, chroma = _copied(*tensors(frame), device)
    context = _context(luma.device.index) if luma.is_cuda else None
    there = av.VideoFrame.from_dlpack((luma, chroma), format=form(frame), cuda_context=context)
    _inherit(there, frame)
    return there


def _copied(
    luma: torch.Tensor, chroma: torch.Tensor, device: str, *, pinned: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """The planes, (H, W) and (H/2, W), in one piece of a device's memory.

    The GPU's encoder looks for chroma right behind luma, and FFmpeg's converters read a little past
    the last row.
    """
    import torch

    height, width = luma.shape
    rows, pitch = height * 3 // 2, -(-width // _ALIGNED) * _ALIGNED
    whole = torch.empty((rows + 1, pitch), dtype=luma.dtype, device=device, pin_memory=pinned)
    parts = whole[:height, :width], whole[height:rows, :width]
    for target, source in zip(parts, (luma, chroma), strict=True):
        target.copy_(source.reshape(target.shape), non_blocking=True)
    return parts


def _inherit(frame: av.VideoFrame, source: av.VideoFrame) -> None:
    """Give a frame the tags and times of the one it was copied from."""
    frame.color_range, frame.colorspace = source.color_range, source.colorspace
    frame.color_primaries, frame.color_trc = source.color_primaries, source.color_trc
    frame.pts, frame.time_base = source.pts, source.time_base
    frame.duration = source.duration


@cache
def _context(index: int) -> CudaContext:
    """torch's context as FFmpeg's, one for all frames of a GPU: an encoder keeps to one."""
    _make_current(index)
    return CudaContext(index, primary_ctx=False, current_ctx=True)


def _make_current(index: int) -> None:
    """Have torch make its context the calling thread's own."""
    import torch

    torch.cuda.set_device(index)
    torch.zeros(1, device="cuda")


def _index(device: str) -> str:
    return device.partition(":")[2] or "0"


def _torch_on_gpu() -> bool:
    """Whether torch can work on frames that stay on the GPU; asked only where a driver is."""
    if no_driver() or not importlib.util.find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _reason(error: Exception) -> str:
    said = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return said.splitlines()[0].lower()
