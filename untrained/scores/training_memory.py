"""Bytes that a training step needs."""

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, UntypedStorage, nn
from torch.nn.functional import cross_entropy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.borrowed import borrowed
from untrained.scores.score import Reading, Score

MOMENTS = 2
"Of each parameter, that AdamW keeps."


@dataclass(frozen=True)
class TrainingMemory(Score):
    """Bytes of all tensors at the moment of a training step when they are the most.

        held + 2 trained + max_t live(t)

    with parameters, buffers and the batch `held`, the two moments that AdamW keeps of what is
    `trained`, and those tensors `live` at time t that forward pass, loss and backward pass have
    made: activations that are kept, gradients, what lies between. The workspace of a library's
    kernel, and torch itself, come on top of it.
    """

    meaning: ClassVar = (
        "Bytes of all tensors of a training step with AdamW when they are the most, for a batch "
        "of 64 images."
    )
    unit: ClassVar = "bytes"
    higher_is_better: ClassVar = False
    is_count: ClassVar = True
    of_function: ClassVar = False
    weights: ClassVar = None
    probe: ClassVar = ProbeSpec(count=64)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        trained = [p for p in network.parameters() if p.requires_grad]
        with borrowed(network), torch.random.fork_rng(devices=_devices(probe.inputs)):
            held = {t.untyped_storage() for t in (*network.parameters(), *network.buffers())}
            held.add(probe.inputs.untyped_storage())
            network.train()
            with torch.enable_grad(), LiveBytes(held) as live:
                loss = cross_entropy(network(probe.inputs), probe.labels)
                gradients = torch.autograd.grad(loss, trained, allow_unused=True)
        del gradients
        moments = MOMENTS * sum(p.nbytes for p in trained)
        return Reading(float(sum(s.nbytes() for s in held) + moments + live.most))


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of what calls make while it lives, and the most at any time."""

    def __init__(self, known: Iterable[UntypedStorage]):
        super().__init__()
        self.now = self.most = 0
        self._seen = {storage._cdata for storage in known}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for made in tree_leaves(result):
            if isinstance(made, Tensor):
                self._note(made.untyped_storage())
        return result

    def _note(self, storage: UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address not in self._seen:  # a view lies in what is known
            self._seen.add(address)
            weakref.finalize(storage, self._forget, address, size)
            self.now += size
            self.most = max(self.most, self.now)

    def _forget(self, address: int, size: int) -> None:
        self._seen.discard(address)
        self.now -= size


def _devices(x: Tensor) -> list[torch.device]:
    return [x.device] if x.is_cuda else []
