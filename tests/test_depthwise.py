"""These tests compare the fast depthwise convolutions with PyTorch's convolutions."""

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from training.loop.depthwise import FastDepthwise, use_fast_depthwise

CPU = torch.device("cpu")


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (4, 6), (7, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # float64 is computed as bfloat16
def test_gradients_are_those_of_the_convolution(kernel, stride, size, dtype):
    convolution = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=24, bias=False).to(dtype)
    fast = copy.deepcopy(convolution)
    use_fast_depthwise(fast, CPU)
    assert isinstance(fast, FastDepthwise)
    images = torch.randn(3, 24, *size, dtype=dtype, requires_grad=True)
    outputs = [module(images) for module in (convolution, fast)]
    torch.testing.assert_close(*outputs)
    gradient = torch.randn_like(outputs[0])
    expected, actual = (
        torch.autograd.grad(output, (images, module.weight), gradient)
        for output, module in zip(outputs, (convolution, fast), strict=True)
    )
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-4)


def test_under_autocast_it_computes_in_bfloat16_and_the_weights_stay_float32():
    convolution = nn.Conv2d(16, 16, 5, 2, 2, groups=16, bias=False)
    use_fast_depthwise(convolution, CPU)
    images = torch.randn(4, 16, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        output = convolution(images)
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert (images.grad.dtype, convolution.weight.grad.dtype) == (torch.float32, torch.float32)


def test_other_convolutions_and_copies_are_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False))
    model.append(nn.Conv2d(8, 8, 7, padding=3, groups=8, bias=False))
    model.append(nn.Conv2d(8, 8, 3, padding=1, groups=8))
    use_fast_depthwise(model, CPU)
    assert [type(each) for each in model] == [nn.Conv2d, FastDepthwise, nn.Conv2d, nn.Conv2d]
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin[1].weight)
    assert not twin[:2](torch.ones(1, 3, 8, 8)).any()


TRITON = """
import sys
import torch
from torch import nn
from training.loop import depthwise_cuda

depthwise_cuda.wrap_triton = lambda kernel: kernel  # interpreted kernels need no wrapping
depthwise_cuda.TILES = 2  # few, because the interpreter is slow
torch.manual_seed(0)
for n, c, side, kernel, stride in [(3, 40, 8, 3, 2), (2, 72, 9, 5, 2), (40, 8, 12, 3, 1)]:
    x = torch.randn(n, c, side, side).contiguous(memory_format=torch.channels_last)
    plain = nn.Conv2d(c, c, kernel, stride, kernel // 2, groups=c, bias=False)
    x.requires_grad_()
    outputs = plain(x), depthwise_cuda.depthwise(x, plain.weight, stride)
    assert outputs[1].is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(outputs[1], outputs[0])
    gradient = torch.randn_like(outputs[0])
    expected, actual = (torch.autograd.grad(y, (x, plain.weight), gradient) for y in outputs)
    # A weight gradient sums up to 5,760 float32 products, in different orders.
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)
"""


@pytest.mark.skipif(torch.version.cuda is None, reason="torch's CPU build does not include Triton")
def test_the_triton_kernels_compute_the_convolution_and_its_gradients():
    """A new process imports Triton with TRITON_INTERPRET set, so that the kernels need no GPU."""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", TRITON], env=environment, check=True, timeout=300)
