"""Video on an NVIDIA GPU: decoding and encoding there, or on the CPU with a warning that says why.

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
# What libav and torch raise where a driver, a device or one of its features is missing.
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
    """The decoder of a GPU for av.open ('cuda:1' is the second GPU), or None where none decodes.

    Only the thread that calls this may use the decoder.
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
    """The plan with the GPU's encoder in place of the CPU's, where a GPU has one for this plan.

    Composites are made on the GPU too where the settings ask for plain ones only.
    """
    codec = _ENCODERS.get(plan.format.codec)
    if codec is None:
        return plan
    pixels = SEMIPLANAR[plan.pixels]
    try:
        context = av.CodecContext.create(codec, "w")
        assert isinstance(context, av.VideoCodecContext)
        context.width, context.height = (
            side + extra for side, extra in zip(plan.size, plan.padding, strict=True)
        )
        context.pix_fmt, context.options = pixels, dict(_QUALITY)
        context.time_base = plan.time_base
        context.open()
    except _REFUSALS as error:
        reason = no_driver() or f"{codec}: {_reason(error)}"
        _LOG.warning("no GPU encodes this (%s); the CPU does", reason)
        return plan
    format = replace(plan.format, codec=codec)
    losses = plan.losses
    if "master-display" in plan.options.get("x265-params", ""):
        losses += ("HDR mastering metadata: the GPU's encoder writes none",)
    plan = replace(plan, format=format, options=_QUALITY, encoder_pixels=pixels, losses=losses)
    if reasons := _cpu_only_reasons(plan, settings, guidance):
        _LOG.warning("composites are made on the CPU (%s); the GPU encodes them", reasons)
        return plan
    return replace(plan, encoder_pixels="cuda", device=f"cuda:{_index(settings.device)}")


def _cpu_only_reasons(plan: Plan, settings: Settings, guidance: Guidance) -> str:
    """Why the GPU cannot make these composites; '' where it can."""
    usual = Settings()
    asked = [row.name for row in rows(Settings) if not row.option.gpu]
    unusual = [name for name in asked if getattr(settings, name) != getattr(usual, name)]
    guided = guidance.before or guidance.garbage or guidance.keep
    cases = {
        "guidance": guided,
        "bokeh": (plan.background or "").startswith("bokeh"),
        "fine detail": settings.detail == "fine",
        "odd sizes": any(plan.padding),
        "torch sees no GPU": not _torch_on_gpu(),
    }
    reasons = [
        *(name.replace("_", "-") for name in unusual),
        *(case for case, holds in cases.items() if holds),
    ]
    return ", ".join(reasons)


def is_readable_by_torch(frame: av.VideoFrame) -> bool:
    """Whether torch can read a frame where it lies: on a GPU, in a format and size DLPack knows."""
    on_gpu = frame.sw_format is not None
    # DLPack describes only whole pixels of chroma.
    return on_gpu and pixel_format_name(frame) in BITS and not (frame.width % 2 or frame.height % 2)


def pixel_format_name(frame: av.VideoFrame) -> str:
    """The pixel format of a frame's planes, in memory or on a GPU."""
    return (frame.sw_format or frame.format).name


@contextmanager
def on_gpu() -> Iterator[None]:
    """Raise the errors of a full or dead GPU as an EngineError: one line, with what to do."""
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

    The decoder and torch both use the default stream, so neither has to wait for the other.
    """
    from torch.utils.dlpack import from_dlpack

    luma, chroma = (from_dlpack(plane.__dlpack__()) for plane in frame.planes)
    return luma, chroma


@on_gpu()
def shrunk(frame: av.VideoFrame, size: tuple[int, int], colour: Colour) -> NDArray[np.uint8]:
    """The frame as (h, w, 3) uint8 RGB of size (width, height), computed where the frame lies.

    frame: NV12, P010 or P016, on a GPU or in memory. colour: its tags. A pixel is the mean of the
    pixels that it covers; planes smaller than `size` are enlarged by cubic convolution.
    """
    import torch
    from torch.nn import functional

    bits = BITS[pixel_format_name(frame)]
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
    """A copy of an NV12, P010 or P016 frame in memory.

    A GPU copies into pinned memory by itself. torch keeps that memory for the next frame once this
    frame is gone.
    """
    import torch

    luma, chroma = tensors(frame)
    parts = _copied(luma, chroma, "cpu", pinned=luma.is_cuda)
    if luma.is_cuda:
        torch.cuda.current_stream(luma.device).synchronize()
    here = av.VideoFrame.from_dlpack(
        [part.numpy() for part in parts], format=pixel_format_name(frame)
    )
    _inherit(here, frame)
    return here


@on_gpu()
def copied_to_device(frame: av.VideoFrame, device: str) -> av.VideoFrame:
    """A writable copy of an NV12 or P010 frame on one of torch's devices."""
    luma, chroma = _copied(*tensors(frame), device)
    context = _context(luma.device.index) if luma.is_cuda else None
    there = av.VideoFrame.from_dlpack(
        (luma, chroma), format=pixel_format_name(frame), cuda_context=context
    )
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
    """Give a frame the tags and times of the frame it was copied from."""
    frame.color_range, frame.colorspace = source.color_range, source.colorspace
    frame.color_primaries, frame.color_trc = source.color_primaries, source.color_trc
    frame.pts, frame.time_base = source.pts, source.time_base
    frame.duration = source.duration


@cache
def _context(index: int) -> CudaContext:
    """torch's context for FFmpeg. All frames of a GPU share it: an encoder takes no second one."""
    _make_current(index)
    return CudaContext(index, primary_ctx=False, current_ctx=True)


def _make_current(index: int) -> None:
    """Make torch's context the current one of the calling thread."""
    import torch

    torch.cuda.set_device(index)
    torch.zeros(1, device="cuda")


def _index(device: str) -> str:
    return device.partition(":")[2] or "0"


def _torch_on_gpu() -> bool:
    """Whether torch can work on frames that stay on the GPU."""
    if no_driver() or not importlib.util.find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _reason(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    return text.splitlines()[0].lower()
