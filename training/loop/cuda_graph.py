"""Record the tensor operations of a function as a CUDA graph, and replay the graph.

A training step launches hundreds of small kernels. If launching a kernel takes longer than running
it, the GPU waits. A graph launches all kernels at once.
"""

from collections.abc import Callable

import torch
from torch import Tensor


class Replayed:
    """A callable that replaces `function`, and replays it as a CUDA graph after a few calls.

    The function may depend only on its inputs and on tensors whose addresses in memory are fixed.
    The graph always uses the `constants` of the recorded call, so they may depend only on the
    shapes of the inputs. If a call has inputs of other shapes, the function itself runs.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function, self.calls = function, 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: list[Tensor] = []

    def __call__(self, *inputs: Tensor, **constants: float) -> Tensor:
        self.calls += 1
        if self.calls <= 3:  # in the first calls, compilers and cuDNN choose kernels
            return self.function(*inputs, **constants)
        if self.graph is None:
            self.inputs = [each.clone() for each in inputs]
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):  # records the kernels without running them
                self.output = self.function(*self.inputs, **constants)
        if [each.shape for each in inputs] != [each.shape for each in self.inputs]:
            return self.function(*inputs, **constants)
        for captured, given in zip(self.inputs, inputs, strict=True):
            captured.copy_(given)
        self.graph.replay()
        return self.output.clone()
