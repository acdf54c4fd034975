"""How often a network is run, and on which images."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from untrained.conformance.finding import Verdict


class Passes:
    """The passes through one network and its copies, while it is watched."""

    def __init__(self) -> None:
        self.count = 0
        self.seen: list[bytes] = []
        "A digest of each image, as often as it was shown."
        self.hidden = False
        "Whether some pass was one whose images nobody can read, as under vmap."

    def __call__(self, network: nn.Module, arguments: tuple[Any, ...]) -> None:
        self.count += 1
        inputs = arguments[0] if arguments else None
        try:
            assert isinstance(inputs, Tensor)
            with torch._C.DisableTorchFunction():  # whoever else follows what is done with it
                images = inputs.detach().cpu().numpy()
            self.seen += [hashlib.blake2b(image.tobytes()).digest() for image in images]
        except Exception:  # a tensor of torch.func's, or no tensor at all
            self.hidden = True

    def __deepcopy__(self, memo: object) -> "Passes":
        return self

    def verdict(self, kind: str) -> Verdict:
        """Whether no image was shown twice."""
        times = "once" if self.count == 1 else f"{self.count} times"
        again = len(self.seen) - len(set(self.seen))
        before = f"{again} of them" if again else "none"
        if self.count == 0:
            return Verdict(True, f"the network is not run ({kind})")
        said = f"run {times}, on {len(self.seen)} images, {before} shown before ({kind})"
        if self.hidden and not again:
            return Verdict(None, f"run {times}, under vmap or the like ({kind})")
        return Verdict(not again, said)


@contextmanager
def passes_of(network: nn.Module) -> Iterator[Passes]:
    """Watches a network; its copies carry the same hook."""
    passes = Passes()
    hook = network.register_forward_pre_hook(passes)
    try:
        yield passes
    finally:
        hook.remove()
