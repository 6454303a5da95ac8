"""Compute depthwise convolutions of channels-last images on a GPU, with Triton kernels.

The network large-cifar32 was trained with these kernels. We have not compared their speed with that
of cuDNN's kernels when both are replayed in a CUDA graph.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor, nn
from torch.library import triton_op, wrap_triton

PIXELS, CHANNELS = 32, 32  # size of a tile, the part of a tensor that is processed at once
TILES = 32  # the number of tiles that each program of `correlate` adds up


@triton.jit
def convolve(
    source, weight, target, pixels, c: tl.constexpr,
    source_height: tl.constexpr, source_width: tl.constexpr, height: tl.constexpr,
    width: tl.constexpr, k: tl.constexpr, stride: tl.constexpr, transposed: tl.constexpr,
    tile_pixels: tl.constexpr, tile_channels: tl.constexpr,
):  # fmt: skip
    """Compute a tile of a convolution's output or, if `transposed`, of its input gradient.

    `weight` has the shape (k * k, c), for `c` channels and a kernel of `k` x `k`.
    """
    pixel = tl.program_id(0) * tile_pixels + tl.arange(0, tile_pixels)
    channel = tl.program_id(1) * tile_channels + tl.arange(0, tile_channels)
    row, column = pixel // width % height, pixel % width
    first = pixel // (width * height) * (source_height * source_width)  # source image's first pixel
    total = tl.zeros((tile_pixels, tile_channels), tl.float32)
    for i in tl.static_range(k):
        for j in tl.static_range(k):
            if transposed:
                up, across = row + k // 2 - i, column + k // 2 - j
                inside = (up >= 0) & (across >= 0) & (up % stride == 0) & (across % stride == 0)
                y, x = up // stride, across // stride
            else:
                y, x = row * stride + i - k // 2, column * stride + j - k // 2
                inside = (y >= 0) & (x >= 0)
            inside = inside & (y < source_height) & (x < source_width) & (pixel < pixels)
            offsets = (first + y * source_width + x)[:, None] * c + channel[None, :]
            mask = inside[:, None] & (channel < c)[None, :]
            values = tl.load(source + offsets, mask=mask, other=0.0).to(tl.float32)
            tap = tl.load(weight + (i * k + j) * c + channel, mask=channel < c, other=0.0)
            total += values * tap.to(tl.float32)[None, :]
    mask = (pixel < pixels)[:, None] & (channel < c)[None, :]
    tl.store(target + pixel[:, None] * c + channel[None, :], total, mask=mask)


@triton.jit
def correlate(
    images, gradient, partial, pixels, c: tl.constexpr,
    source_height: tl.constexpr, source_width: tl.constexpr, height: tl.constexpr,
    width: tl.constexpr, k: tl.constexpr, stride: tl.constexpr,
    tile_pixels: tl.constexpr, tile_channels: tl.constexpr, tiles: tl.constexpr,
):  # fmt: skip
    """Sum the weight gradient of one kernel row over `tiles` tiles. Store the sum in `partial`.

    `partial` has the shape (P, k * k, c), for P programs along axis 0 of the grid.
    """
    channel = tl.program_id(1) * tile_channels + tl.arange(0, tile_channels)
    i = tl.program_id(2)
    sum0 = tl.zeros((tile_pixels, tile_channels), tl.float32)
    sum1 = tl.zeros((tile_pixels, tile_channels), tl.float32)
    sum2 = tl.zeros((tile_pixels, tile_channels), tl.float32)
    sum3 = tl.zeros((tile_pixels, tile_channels), tl.float32)
    sum4 = tl.zeros((tile_pixels, tile_channels), tl.float32)
    for tile in range(tiles):
        pixel = (tl.program_id(0) * tiles + tile) * tile_pixels + tl.arange(0, tile_pixels)
        mask = (pixel < pixels)[:, None] & (channel < c)[None, :]
        offsets = pixel[:, None] * c + channel[None, :]
        slope = tl.load(gradient + offsets, mask=mask, other=0.0).to(tl.float32)
        y = pixel // width % height * stride + i - k // 2
        first = pixel // (width * height) * (source_height * source_width) + y * source_width
        for j in tl.static_range(k):
            x = pixel % width * stride + j - k // 2
            inside = (y >= 0) & (y < source_height) & (x >= 0) & (x < source_width)
            offsets = (first + x)[:, None] * c + channel[None, :]
            values = tl.load(images + offsets, mask=mask & inside[:, None], other=0.0)
            product = values.to(tl.float32) * slope
            if j == 0:
                sum0 += product
            elif j == 1:
                sum1 += product
            elif j == 2:
                sum2 += product
            elif j == 3:
                sum3 += product
            else:
                sum4 += product
    pointer = partial + (tl.program_id(0) * k * k + i * k) * c + channel
    tl.store(pointer, tl.sum(sum0, 0), mask=channel < c)
    tl.store(pointer + c, tl.sum(sum1, 0), mask=channel < c)
    tl.store(pointer + 2 * c, tl.sum(sum2, 0), mask=channel < c)
    if k == 5:
        tl.store(pointer + 3 * c, tl.sum(sum3, 0), mask=channel < c)
        tl.store(pointer + 4 * c, tl.sum(sum4, 0), mask=channel < c)


def run_convolve(
    source: Tensor, weight: Tensor, size: list[int], stride: int, transposed: bool
) -> Tensor:
    """Run `convolve` on `source`. `size` is the height and width of the result."""
    n, c, kernel = *source.shape[:2], weight.shape[2]
    target = torch.empty(
        (n, c, *size), dtype=source.dtype, device=source.device, memory_format=torch.channels_last
    )
    pixels = n * size[0] * size[1]
    wrap_triton(convolve)[(triton.cdiv(pixels, PIXELS), triton.cdiv(c, CHANNELS), 1)](
        source.contiguous(memory_format=torch.channels_last),
        weight.flatten(1).t().contiguous(),
        target, pixels, c, source.shape[2], source.shape[3], size[0], size[1],
        kernel, stride, transposed, PIXELS, CHANNELS,
    )  # fmt: skip
    return target


@triton_op("mobilenetv3_cifar::depthwise", mutates_args={})
def depthwise(images: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Convolve images (N, C, H, W) with weights (C, 1, K, K) and padding K // 2. K is 3 or 5."""
    size = [(side - 1) // stride + 1 for side in images.shape[2:]]
    return run_convolve(images, weight, size, stride, False)


@triton_op("mobilenetv3_cifar::depthwise_input_gradient", mutates_args={})
def input_gradient(gradient: Tensor, weight: Tensor, size: list[int], stride: int) -> Tensor:
    return run_convolve(gradient, weight, size, stride, True)


@triton_op("mobilenetv3_cifar::depthwise_weight_gradient", mutates_args={})
def weight_gradient(gradient: Tensor, images: Tensor, kernel: int, stride: int) -> Tensor:
    """Return the float32 gradient of weights (C, 1, K, K), where K is `kernel`."""
    n, c, height, width = gradient.shape
    pixels = n * height * width
    programs = triton.cdiv(pixels, PIXELS * TILES)
    partial = torch.empty((programs, kernel**2, c), dtype=torch.float32, device=images.device)
    wrap_triton(correlate)[(programs, triton.cdiv(c, CHANNELS), kernel)](
        images.contiguous(memory_format=torch.channels_last),
        gradient.contiguous(memory_format=torch.channels_last),
        partial, pixels, c, images.shape[2], images.shape[3], height, width,
        kernel, stride, PIXELS, CHANNELS, TILES,
    )  # fmt: skip
    return partial.sum(0).t().reshape(c, 1, kernel, kernel)


def save(ctx: Any, inputs: tuple[Tensor, Tensor, int], output: Tensor) -> None:
    images, weight, ctx.stride = inputs
    ctx.save_for_backward(images, weight)


def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
    images, weight = ctx.saved_tensors
    return (
        input_gradient(gradient, weight, list(images.shape[2:]), ctx.stride),
        weight_gradient(gradient, images, weight.shape[2], ctx.stride).to(weight.dtype),
        None,
    )


depthwise.register_autograd(backward, setup_context=save)


class TritonDepthwise(nn.Conv2d):
    def forward(self, images: Tensor) -> Tensor:
        return depthwise(images, self.weight.to(images.dtype), self.stride[0])
