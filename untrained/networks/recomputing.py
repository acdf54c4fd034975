"""Networks that compute parts of themselves again in a backward pass: gradient checkpointing.

`torch.utils.checkpoint` has two ways. Of `use_reentrant=False`, all that is to be known here is
that BatchNorm is called again. `use_reentrant=True` gives gradients by `Tensor.backward` alone,
and none at all to a part whose inputs require none, of which it only warns.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from untrained.networks.interception import backward

REENTRANT = "CheckpointFunctionBackward"
"The node of autograd's graph."


@contextmanager
def none_left_out() -> Iterator[None]:
    """Inside, torch's warning that a checkpointed part will get no gradients is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "None of the inputs have requires_grad")
        yield


def in_backward() -> bool:
    """Whether a backward pass is under way in this thread."""
    return torch._C._current_graph_task_id() >= 0


def recorded(
    moments: tuple[Tensor, Tensor], statistics: Sequence[tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """The statistics, of those recorded in a forward pass, that are a batch's own moments.

    Raises:
        ValueError: none are, since the batch is another than that of the statistics.
    """
    for known in statistics:
        if all(
            a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-6)
            for a, b in zip(known, moments, strict=True)
        ):
            return known
    raise ValueError(
        "gradient checkpointing computes BatchNorm again, on another batch than that of its "
        "frozen statistics: expected x2=None or batchnorm='running', or checkpointing turned off"
    )


def reenters(outputs: Tensor) -> bool:
    """Whether autograd's graph of the outputs can be passed by `Tensor.backward` alone."""
    stack, seen = [outputs.grad_fn], set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        if node.name() == REENTRANT:
            return True
        seen.add(node)
        stack += [following for following, _ in node.next_functions]
    return False


def requiring(x: Tensor) -> Tensor:
    """A copy of x that requires gradients, if it can, and may be changed in place."""
    x = x.clone()
    return x.requires_grad_().clone() if x.is_floating_point() else x


@contextmanager
def by_backward(model: nn.Module) -> Iterator[Callable[[Tensor, Sequence[Tensor]], list[Tensor]]]:
    """A function that gives d g / d each parameter asked for, by `Tensor.backward`.

    What `.grad` holds is put back at the end.

    Raises:
        ValueError: a parameter with a hook that acts on its gradient as it comes, such as an
            optimiser's step.
    """
    parameters = list(model.parameters())
    if any(p._post_accumulate_grad_hooks for p in parameters):
        raise ValueError(
            "checkpoint(use_reentrant=True) needs Tensor.backward, which would call the hooks of "
            "register_post_accumulate_grad_hook: expected none, or use_reentrant=False"
        )

    def derivatives(g: Tensor, tensors: Sequence[Tensor]) -> list[Tensor]:
        for p in parameters:
            p.grad = None
        backward(g, retain_graph=True)
        return [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors]

    kept = [p.grad for p in parameters]
    try:
        yield derivatives
    finally:
        for p, grad in zip(parameters, kept, strict=True):
            p.grad = grad
