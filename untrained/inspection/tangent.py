"""The neural tangent kernel of a network, and what each parameter contributes to it.

    Theta = sum_a Theta_a,    share of a parameter tensor a = tr Theta_a / tr Theta

exactly, of the summed logits. BatchNorm's statistics are those of the batch, held constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor, nn

from untrained.analysis import Spectrum, spectrum
from untrained.kernels import ntk_contributions


@dataclass(frozen=True)
class Tangent:
    """Spectra of the kernel and of its parts."""

    whole: Spectrum | None
    "None where `reason` says why."
    parts: Mapping[str, Spectrum] = field(default_factory=dict)
    "Of each trainable parameter, by name."
    reason: str = ""

    def share(self, name: str) -> float | None:
        """tr Theta_a / tr Theta; None where there is no trace."""
        total = None if self.whole is None else self.whole.trace
        part = self.parts.get(name)
        if not total or part is None or part.trace is None:
            return None
        return part.trace / total


def tangent_of(model: nn.Module, x: Tensor) -> Tangent:
    """That of a network at x; one that has none says why."""
    if not any(p.requires_grad for p in model.parameters()):
        return Tangent(None, reason="no parameter is trainable")
    try:
        parts = ntk_contributions(model, x, by="parameter", batchnorm="frozen")
    except ValueError as error:
        return Tangent(None, reason=str(error))
    spectra = {name: spectrum(part) for name, part in parts.items()}
    first, *others = parts.values()
    return Tangent(spectrum(sum(others, start=first)), spectra)
