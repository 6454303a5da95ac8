import copy

import pytest
import torch
from torch import nn

from training.loop.depthwise import FastDepthwise, use_fast_depthwise


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (4, 6), (7, 5)])
def test_gradients_are_those_of_the_convolution(kernel, stride, size):
    convolution = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=24, bias=False).double()
    fast = copy.deepcopy(convolution)
    use_fast_depthwise(fast)
    assert isinstance(fast, FastDepthwise)
    images = torch.randn(3, 24, *size, dtype=torch.float64, requires_grad=True)
    outputs = [module(images) for module in (convolution, fast)]
    torch.testing.assert_close(*outputs)
    gradient = torch.randn_like(outputs[0])
    expected, found = (
        torch.autograd.grad(output, (images, module.weight), gradient)
        for output, module in zip(outputs, (convolution, fast), strict=True)
    )
    torch.testing.assert_close(found, expected)


def test_under_autocast_it_computes_in_bfloat16_and_the_weights_stay_float32():
    convolution = nn.Conv2d(16, 16, 5, 2, 2, groups=16, bias=False)
    use_fast_depthwise(convolution)
    images = torch.randn(4, 16, 8, 8, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        output = convolution(images)
    assert output.dtype == torch.bfloat16
    output.float().square().sum().backward()
    assert (images.grad.dtype, convolution.weight.grad.dtype) == (torch.float32, torch.float32)


def test_other_convolutions_and_copies_are_left_alone():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False))
    use_fast_depthwise(model)
    assert type(model[0]) is nn.Conv2d
    twin = copy.deepcopy(model)
    nn.init.zeros_(twin[1].weight)
    assert not twin(torch.ones(1, 3, 8, 8)).any()
