"""This module provides depthwise convolutions whose gradients are fast on a CPU.

In PyTorch 2.14's own convolutions, some gradients take many times as long as the forward pass: in
bfloat16, the input gradient of a strided convolution and the weight gradient of a 5x5 convolution,
and in float32, the weight gradient of a 5x5 convolution with outputs of up to 4x4.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d


class DepthwiseConvolution(torch.autograd.Function):
    """Convolve images (N, C, H, W) with weights (C, 1, K, K) and padding K // 2. K is 3 or 5."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(ctx: Any, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(images, weight)
        ctx.stride = stride
        return conv2d(images, weight, None, stride, weight.shape[2] // 2, groups=len(weight))

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        images, weight = ctx.saved_tensors
        if images.dtype == torch.float32:
            slow = weight.shape[2] == 5 and gradient.shape[2] <= 4
            of_images, of_weight, _ = convolution_backward(
                gradient, images, weight, ctx.stride, weight.shape[2] // 2, [True, not slow, False]
            )
            if slow:
                of_weight = weight_gradient(gradient, images, weight, ctx.stride)
            return of_images, of_weight, None
        # To get the gradient of `images`, insert stride - 1 zeros between the values of `gradient`,
        # and convolve with the flipped kernel.
        dilated = torch.zeros_like(images)
        dilated[:, :, :: ctx.stride, :: ctx.stride] = gradient
        flipped = weight.flip(2, 3)
        of_images = conv2d(dilated, flipped, padding=weight.shape[2] // 2, groups=len(weight))
        return of_images, weight_gradient(gradient, images, weight, ctx.stride), None


def weight_gradient(gradient: Tensor, images: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute the weight gradient. A 5x5 kernel is split into its four overlapping 3x3 corners."""
    kernel = weight.shape[2]
    corners = sorted({0, kernel - 3})
    padded = nn.functional.pad(images, (kernel // 2,) * 4)
    rows, columns = ((size - 1) * stride + 3 for size in gradient.shape[2:])
    result, part = torch.empty_like(weight), weight[:, :, :3, :3].contiguous()
    for y in corners:
        for x in corners:
            window = padded[:, :, y : y + rows, x : x + columns]
            window = window.contiguous(memory_format=torch.channels_last)
            _, corner, _ = convolution_backward(
                gradient, window, part, stride, 0, [False, True, False]
            )
            result[:, :, y : y + 3, x : x + 3] = corner
    return result


def convolution_backward(
    gradient: Tensor, images: Tensor, weight: Tensor, stride: int, padding: int, wanted: list[bool]
) -> list[Tensor]:
    """Return the `wanted` gradients of the images, weight and bias, computed by PyTorch."""
    return torch.ops.aten.convolution_backward(
        gradient, images, weight, None, [stride, stride], [padding, padding], [1, 1], False, [0, 0],
        len(weight), wanted,
    )  # fmt: skip


class FastDepthwise(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        return DepthwiseConvolution.apply(images, self.weight, self.stride[0])


def use_fast_depthwise(model: nn.Module, device: torch.device) -> None:
    """Use `FastDepthwise` (CPU) or `TritonDepthwise` (CUDA) for depthwise 3x3 and 5x5 layers."""
    kind: type[nn.Conv2d] = FastDepthwise
    if device.type == "cuda":
        from training.loop.depthwise_cuda import TritonDepthwise  # needs Triton

        kind = TritonDepthwise
    elif device.type != "cpu":
        return
    for module in model.modules():
        grouped = isinstance(module, nn.Conv2d) and module.groups > 1 and module.bias is None
        if grouped and module.kernel_size in ((3, 3), (5, 5)):
            module.__class__ = kind
