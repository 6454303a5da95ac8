"""Record the tensor operations of a function as a CUDA graph, and replay the graph.

A training step launches hundreds of small kernels. If launching a kernel takes longer than running
it, the GPU waits. A graph launches all kernels at once.
"""

from collections import Counter
from collections.abc import Callable

import torch
from torch import Tensor

Shapes = tuple[torch.Size, ...]  # the shapes of all inputs of a call


class Replayed:
    """A callable that replaces `function`, and replays it as a CUDA graph after a few calls.

    The function may depend only on its inputs and on tensors whose addresses in memory are fixed.
    Each combination of input shapes gets its own graph. A graph always uses the `constants` of the
    call that it recorded, so these may depend only on the inputs' shapes.
    """

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self.function, self.calls = function, Counter[Shapes]()
        # {shapes: (graph, its inputs, its output)}. Graphs run one by one, so they share memory.
        self.graphs = dict[Shapes, tuple[torch.cuda.CUDAGraph, list[Tensor], Tensor]]()
        self.memory = torch.cuda.graph_pool_handle()

    def __call__(self, *inputs: Tensor, **constants: float) -> Tensor:
        shapes = tuple(each.shape for each in inputs)
        self.calls[shapes] += 1
        if self.calls[shapes] <= 3:  # in the first calls, compilers and cuDNN choose kernels
            return self.function(*inputs, **constants)
        if shapes not in self.graphs:
            graph, copies = torch.cuda.CUDAGraph(), [each.clone() for each in inputs]
            with torch.cuda.graph(graph, self.memory):  # records the kernels without running them
                self.graphs[shapes] = graph, copies, self.function(*copies, **constants)
        graph, copies, output = self.graphs[shapes]
        for copied, given in zip(copies, inputs, strict=True):
            copied.copy_(given)
        graph.replay()
        return output.clone()
