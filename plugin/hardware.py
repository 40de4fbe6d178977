"""Video on an NVIDIA GPU: decoding and encoding there, or on the CPU with the reason said aloud.

Decoded frames stay on the GPU where torch can shrink them there for the network; the output's own
picture is downloaded once, since filters and alpha formats work on the CPU. No NVIDIA encoder takes
alpha, so only H.264 and HEVC composites are encoded there.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace

import av
import av.error
import numpy as np
from av.codec.hwaccel import HWAccel
from numpy.typing import NDArray

from mattecast.colour import Colour
from mattecast.engines.cuda import no_driver
from mattecast.plan import Plan

_LOG = logging.getLogger("mattecast")
# What libav raises where a driver, a device or a feature of one is missing.
_REFUSALS = (av.error.FFmpegError, OSError, ValueError, NotImplementedError)
_ENCODERS = {"libx264": "h264_nvenc", "libx265": "hevc_nvenc"}
# Constant quality near that of the CPU's encoders (crf 18 and 20); no bit rate is aimed at.
_QUALITY = {"preset": "p5", "rc": "vbr", "cq": "19", "b": "0"}
# Formats of decoded frames that DLPack describes, and the bits of their codes.
_BITS = {"nv12": 8, "p010le": 10, "p016le": 16}


def decoder(device: str = "auto") -> HWAccel | None:
    """What makes av.open decode on a GPU ('cuda:1' is the second), or None where none can."""
    index = device.partition(":")[2] or "0"
    accel = HWAccel("cuda", index, allow_software_fallback=True, is_hw_owned=_torch_on_gpu())
    try:
        accel.create(av.Codec("h264", "r"))
    except _REFUSALS as error:
        _LOG.warning("no GPU decodes here (%s); the CPU does", no_driver() or _reason(error))
        return None
    return accel


def encoded_on_gpu(plan: Plan) -> Plan:
    """The plan with the GPU's encoder for the CPU's, where there is one and it takes this plan."""
    codec = _ENCODERS.get(plan.format.codec)
    if codec is None:
        return plan
    context = None
    try:
        context = av.CodecContext.create(codec, "w")
        context.width, context.height = plan.size  # type: ignore[attr-defined]
        context.pix_fmt, context.options = plan.pixels, dict(_QUALITY)  # type: ignore[attr-defined]
        context.time_base = plan.time_base
        context.open()
    except _REFUSALS as error:
        reason = no_driver() or f"{codec}: {_reason(error)}"
        _LOG.warning("no GPU encodes this (%s); the CPU does", reason)
        return plan
    return replace(plan, format=replace(plan.format, codec=codec), options=_QUALITY)


def shrinks(frame: av.VideoFrame) -> bool:
    """Whether `shrunk` takes this frame: one on a GPU, of a format that can be handed over."""
    form = frame.sw_format
    return form is not None and form.name in _BITS


def shrunk(frame: av.VideoFrame, size: tuple[int, int], colour: Colour) -> NDArray[np.uint8]:
    """The frame as (h, w, 3) uint8 RGB of size (width, height), computed where it lies.

    frame: NV12, P010 or P016, on a GPU or in memory. colour: its tags. Sides are means over what
    they cover. The decoder and torch both use the default stream, so no one has to wait.
    """
    import torch
    from torch.nn import functional
    from torch.utils.dlpack import from_dlpack

    bits = _BITS[(frame.sw_format or frame.format).name]
    parts = []
    for plane in frame.planes:
        codes = from_dlpack(plane.__dlpack__()).float()
        codes = codes.reshape(*codes.shape[:2], -1).permute(2, 0, 1)[None]
        parts.append(functional.interpolate(codes, size[::-1], mode="area")[0])
    codes = torch.cat(parts) / (64 if bits == 10 else 1)  # P010 has its ten bits uppermost
    forward = colour.from_rgb(bits).astype(np.float64)
    back = torch.from_numpy(np.linalg.inv(forward[:, :3]).astype(np.float32)).to(codes.device)
    offset = torch.from_numpy(forward[:, 3].astype(np.float32)).to(codes.device)
    rgb = torch.einsum("ij,jhw->hwi", back, codes - offset[:, None, None])
    picture: NDArray[np.uint8] = (rgb + 0.5).clamp(0, 255).to(torch.uint8).cpu().numpy()
    return picture


def _torch_on_gpu() -> bool:
    """Whether torch can work on frames that stay on the GPU; asked only where a driver is."""
    if no_driver() or not importlib.util.find_spec("torch"):
        return False
    import torch

    return torch.cuda.is_available()


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()
