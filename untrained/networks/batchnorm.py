"""BatchNorm policies: which statistics normalise a network while it is measured.

A policy intercepts calls of `torch.nn.functional.batch_norm`, so it covers modules and functional
uses alike and changes no module, flag or buffer. What is no example's, such as the weights that
some networks standardise by this function, is left to it as the network has it.

    batch     statistics of the mini-batch, differentiated: examples are coupled
    frozen    statistics of the mini-batch, held constant: examples are independent
    running   the network's own running statistics, as in `eval()`
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from untrained.networks.backends import exact_backends
from untrained.networks.choices import Policy
from untrained.networks.interception import Call, Function, Interception, called
from untrained.networks.provenance import Provenance
from untrained.networks.recomputing import in_backward, recorded
from untrained.networks.unwrapping import eager

Channels = Float[Tensor, " c"]


class BatchNormCall(NamedTuple):
    """The arguments of `torch.nn.functional.batch_norm`, by its own names."""

    input: Float[Tensor, "n c ..."]
    running_mean: Channels | None
    running_var: Channels | None
    weight: Channels | None = None
    bias: Channels | None = None
    training: bool = False
    momentum: float = 0.1
    eps: float = 1e-5

    def under(self, mean: Channels, variance: Channels) -> "BatchNormCall":
        """The same call with these constants for statistics."""
        return self._replace(running_mean=mean, running_var=variance, training=False)


class BatchNormPolicy(Interception, ABC):
    """A context in which BatchNorm calls over examples, and they alone, go another way."""

    def __init__(self, model: nn.Module | None = None):
        super().__init__()
        self.model = model
        "Whose parameters and buffers are no example's; without one, every BatchNorm is altered."
        self.own = Provenance()
        self.through: Call = called

    @contextmanager
    def over(self, inner: Interception) -> Iterator[None]:
        """This context and the one inside it as one: each call is intercepted once for both."""
        self.through = inner.call
        try:
            with self:
                yield
        finally:
            self.through = called

    def __enter__(self) -> "BatchNormPolicy":
        modules = () if self.model is None else self.model.modules()
        tables = (table for m in modules for table in (m._parameters, m._buffers))
        self.own = Provenance(t for table in tables for t in table.values() if t is not None)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.own = Provenance()  # what was made of weights is let go
        super().__exit__(*error)

    def call(self, func: Function, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if self.own.makes(func, args, kwargs):
            outputs = self.through(func, args, kwargs)
            self.own.add(outputs)
            return outputs
        if func is torch.batch_norm:
            raise ValueError(
                "torch.batch_norm is called as such: expected torch.nn.functional.batch_norm or a "
                "module, which a policy can follow"
            )
        if func is not F.batch_norm:
            return self.through(func, args, kwargs)
        asked = BatchNormCall(*args, **kwargs)
        return self.through(func, asked if asked.input in self.own else self.altered(asked), {})

    @abstractmethod
    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        """The call to make in place of the one that the network asks for."""


class BatchStatistics(BatchNormPolicy):
    """Normalises by the statistics of the batch at hand, gradients flowing through them."""

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        return asked._replace(running_mean=None, running_var=None, training=True)


class FrozenStatistics(BatchNormPolicy):
    """Normalises by constants: those of the first batch seen, replayed in order ever after.

    The k-th BatchNorm call of the first forward pass records its mean and variance over the batch;
    the k-th call of every later pass, begun by entering the context again, uses them.
    """

    def __init__(self, model: nn.Module | None = None) -> None:
        super().__init__(model)
        self.statistics: list[tuple[Channels, Channels]] = []
        self.calls = 0

    def __enter__(self) -> "FrozenStatistics":
        self.calls = 0
        super().__enter__()
        return self

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        if in_backward():  # gradient checkpointing computes the call again
            return asked.under(*recorded(_moments(asked.input.detach()), self.statistics))
        if self.calls == len(self.statistics):
            self.statistics.append(_moments(asked.input.detach()))
        self.calls += 1
        return asked.under(*self.statistics[self.calls - 1])

    def calibrate(self, model: nn.Module, batches: Sequence[Tensor]) -> None:
        """Records the statistics of all batches together, as of one.

        One pass over the batches for each BatchNorm call where they are several: layers before it
        need their own statistics first.
        """
        if len(batches) == 1:
            with torch.no_grad(), self:
                model(batches[0].clone())
            return
        while True:
            streamed = _Streamed(self.statistics, self.model)
            for batch in batches:
                with torch.no_grad(), suppress(_Reached), streamed:
                    model(batch.clone())
            if streamed.moments is None:
                return  # every call has its statistics
            self.statistics.append(streamed.moments)


class _Reached(Exception):
    """A forward pass came to the BatchNorm call whose statistics are sought."""


class _Streamed(FrozenStatistics):
    """Merges the moments of the first call that has no statistics yet, over many batches.

    Source: Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm for computing
    sample variances", 1979.
    """

    def __init__(self, statistics: list[tuple[Tensor, Tensor]], model: nn.Module | None) -> None:
        super().__init__(model)
        self.statistics = statistics
        self.moments: tuple[Channels, Channels] | None = None
        self.count = 0

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        if self.calls < len(self.statistics):
            return super().altered(asked)
        x = asked.input
        mean, variance = _moments(x)
        count = x.numel() // x.shape[1]
        if self.moments is not None:
            share = count / (self.count + count)
            shift = mean - self.moments[0]
            mean = self.moments[0] + share * shift
            between = share * (1 - share) * shift.square()
            variance = (1 - share) * self.moments[1] + share * variance + between
        self.moments, self.count = (mean, variance), self.count + count
        raise _Reached


class RunningStatistics(BatchNormPolicy):
    """Leaves BatchNorm as it is, and refuses one that keeps no running statistics."""

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        if asked.training:
            raise ValueError(
                "a BatchNorm layer keeps no running statistics: expected them under "
                "batchnorm='running'; try batchnorm='frozen' or 'batch'"
            )
        return asked


def _moments(x: Float[Tensor, "n c ..."]) -> tuple[Channels, Channels]:
    """Mean and variance of each channel.

    On a CPU summed within examples first, which is ten times faster there; on a GPU in one call.
    """
    with torch._C.DisableTorchFunction():  # other interceptions need not follow each step
        x = x.flatten(2) if x.ndim > 2 else x[..., None]
        if x.is_cuda:
            variance, mean = torch.var_mean(x, (0, 2), correction=0)
            return mean, variance
        count = x.shape[0] * x.shape[2]
        mean = x.sum(2).sum(0) / count
        return mean, (x - mean[:, None]).square().sum(2).sum(0) / count


POLICIES: dict[str, Callable[[nn.Module | None], BatchNormPolicy]] = {
    "batch": BatchStatistics,
    "frozen": FrozenStatistics,
    "running": RunningStatistics,
}


def policy_mode(policy: str, model: nn.Module | None = None) -> BatchNormPolicy:
    """The context in which a network follows `policy`; ValueError for an unknown one.

    `model` is the network: without it, BatchNorm of weights is taken for BatchNorm of examples.
    """
    if policy not in POLICIES:
        raise ValueError(
            f"unknown BatchNorm policy: expected one of {', '.join(get_args(Policy))}, "
            f"got {policy!r}"
        )
    return POLICIES[policy](model)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """`model.eval()` for the time of the block: dropout is off; flags and buffers are kept.

    Products of float32 are in full, not in TF32, whose three digits are too few here, and
    recurrent layers are computed without cuDNN.
    """
    modules = list(model.modules())
    flags = [module.training for module in modules]
    held = [(module, dict(module._buffers)) for module in modules if module._buffers]
    kept = _Kept([b for _, buffers in held for b in buffers.values() if b is not None])
    if any(flags):
        model.eval()
    try:
        with exact_backends(modules), eager():
            yield
    finally:
        for module, training in zip(modules, flags, strict=True):
            if module.training is not training:
                module.training = training
        for module, buffers in held:
            for name, buffer in buffers.items():  # TorchScript's have no `update`
                module._buffers[name] = buffer
        kept.restore()


class _Kept:
    """The values of tensors, to be restored where they have changed: in a network that counts.

    Versions would not do: a change by way of `.data` leaves none. All tensors of a type are one
    copy, and one comparison, for which a GPU is waited for once. Sparse tensors are not kept.
    """

    def __init__(self, tensors: Sequence[Tensor]):
        self.groups: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
        for t in tensors:
            if t.layout is torch.strided:
                self.groups.setdefault((t.dtype, t.device), []).append(t)
        self.before = {key: _joined(group) for key, group in self.groups.items()}

    @torch.no_grad()
    def restore(self) -> None:
        """Writes the old values over those that are not."""
        for key, group in self.groups.items():
            if torch.equal(_joined(group), self.before[key]):
                continue
            parts = self.before[key].split([t.numel() for t in group])
            for t, part in zip(group, parts, strict=True):
                if not torch.equal(t, part.view_as(t)):
                    t.copy_(part.view_as(t))


def _joined(tensors: Sequence[Tensor]) -> Shaped[Tensor, " s"]:
    return torch.cat([t.detach().reshape(-1) for t in tensors])
