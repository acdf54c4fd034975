"""All that findings are made from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from untrained.inspection.parameters import Parameter
from untrained.inspection.passes import Layer, Passed
from untrained.inspection.tangent import Tangent


@dataclass(frozen=True)
class Evidence:
    """What was measured of a network."""

    passed: Passed
    parameters: tuple[Parameter, ...]
    tangent: Tangent
    loss: float | None
    "Cross-entropy of the outputs as logits; None if it is not finite."
    classes: int
    "How many outputs there are."
    passes_scale: Callable[[int], bool]
    """Whether the outputs of images differ about twice as much once the output of the layer of
    this number, or of `INPUT`, is doubled; before a normalisation they do not."""

    @cached_property
    def trunk(self) -> tuple[Layer, ...]:
        """The layers that everything passes, in order, up to the outputs."""
        return tuple(layer for layer in self.passed.layers if layer.trunk)

    @cached_property
    def maps(self) -> tuple[Parameter, ...]:
        """The weights of linear maps that some layer uses."""
        return tuple(p for p in self.parameters if p.gain is not None and p.layer is not None)

    @property
    def head(self) -> frozenset[int]:
        """Numbers of the layers whose outputs are the network's."""
        return self.passed.sources

    def name_of(self, parameter: Parameter) -> str:
        """Of the first layer that uses a parameter."""
        if parameter.layer is None:
            return parameter.name
        return self.passed.layers[parameter.layer].name

    def sensitivity(self, layer: Layer) -> float | None:
        """How far outputs move, root mean square, per relative change of a layer's every entry.

            RMS(h) ||d(r . f) / dh|| / sqrt(K),    r ~ N(0, 1) for each of K outputs

        for independent changes; of the outputs themselves, their RMS. Neither a wider layer nor a
        scale that a normalisation removes changes it. None where no gradient comes back.
        """
        back, rms = layer.backward, layer.seen.signal.rms
        if back is None or back.norm is None or rms is None:
            return None
        return float(rms * back.norm / self.classes**0.5)
