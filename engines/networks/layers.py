"""Layers that several networks share."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """Convolution without bias, batch norm and activation, padded to keep or halve the size."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        activation: type[nn.Module] = nn.ReLU,
    ) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride, padding, dilation, groups, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)
        self.activation = activation()

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.norm.training:
            return self.activation(self.folded(x))  # type: ignore[no-any-return]
        return self.activation(self.norm(self.conv(x)))  # type: ignore[no-any-return]

    def folded(self, x: Tensor) -> Tensor:
        """Convolution and norm as one convolution, for a norm whose statistics are frozen.

        The values are the same. Training saves one pass over the features forwards and two
        backwards.
        """
        norm, conv = self.norm, self.conv
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * scale
        weight = conv.weight * scale[:, None, None, None]
        if conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1 and not x.is_cuda:
            return mixed(x, weight, shift)
        if conv.stride == (2, 2) and conv.groups == conv.in_channels and not weight.requires_grad:
            return Halved.apply(x, weight, shift)  # type: ignore[no-any-return, no-untyped-call]
        return functional.conv2d(
            x, weight, shift, conv.stride, conv.padding, conv.dilation, conv.groups
        )


def mixed(x: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
    """A 1x1 convolution as a product of matrices: without the copies that torch makes on CPUs whose
    oneDNN it does not use for these, a quarter of a step's time."""
    flat = functional.linear(x.permute(0, 2, 3, 1), weight[:, :, 0, 0], shift)
    return flat.permute(0, 3, 1, 2)


class Halved(torch.autograd.Function):
    """A depthwise convolution of stride 2 with frozen weights.

    The gradient of its input is a depthwise convolution of stride 1 over the output's gradient with
    zeros in between. On a CPU this is ten to thirty times quicker than torch's kernel for stride 2
    in bfloat16.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, shift: Tensor) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.shape, channels, padding = x.shape, x.shape[1], weight.shape[-1] // 2
        weight, shift = weight.to(x.dtype), shift.to(x.dtype)
        return functional.conv2d(x, weight, shift, 2, padding, groups=channels)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        spread = slope.new_zeros(ctx.shape).contiguous(memory_format=torch.channels_last)
        spread[..., ::2, ::2] = slope
        turned = weight.flip(2, 3).to(slope.dtype)
        padding = turned.shape[-1] // 2
        return functional.conv2d(spread, turned, None, 1, padding, groups=ctx.shape[1]), None, None


class Inverted(nn.Module):
    """MobileNetV2's inverted residual (Sandler et al. 2018, arXiv 1801.04381).

    It widens, filters each channel by itself, and narrows without an activation.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        grow: int,
        stride: int,
        *,
        kernel: int = 3,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        wide, relu6 = inputs * grow, nn.ReLU6
        self.widen = ConvNorm(inputs, wide, 1, activation=relu6) if grow > 1 else nn.Identity()
        self.filter = ConvNorm(
            wide, wide, kernel, stride=stride, dilation=dilation, groups=wide, activation=relu6
        )
        self.narrow = ConvNorm(wide, outputs, 1, activation=nn.Identity)
        self.beside = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.narrow(self.filter(self.widen(x)))
        return x + y if self.beside else y
