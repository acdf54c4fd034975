"""The features of a network on each draw of its weights: all that the NNGP kernel is made of."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, cast, get_args

import torch
from torch import Tensor, nn

from untrained.networks.batchnorm import (
    POLICIES,
    BatchNormCall,
    BatchNormPolicy,
    FrozenStatistics,
    evaluating,
)
from untrained.networks.borrowed import borrowed, shares_memory
from untrained.networks.called import Call, Called, Inputs
from untrained.networks.features import Features, coupled, pass_through
from untrained.networks.foreign import foreign
from untrained.networks.layout import LAYOUT, channels_last
from untrained.networks.unwrapping import unwrapped
from untrained.networks.weights import Initialisation

Statistics = Literal["frozen", "batch", "running", "published"]
Law = Callable[[torch.Generator], Any]
"Of the parameters of a function."


class PublishedStatistics(FrozenStatistics):
    """Moving averages after one update from the first batch seen, with the published momentum.

        mean = (1 - .997) mean_B,    var = .997 + (1 - .997) var_B

    The first pass itself is normalised by the batch, as in training.
    """

    def altered(self, asked: BatchNormCall) -> BatchNormCall:
        first = self.calls == len(self.statistics)
        made = super().altered(asked)
        if first:
            mean, variance = self.statistics[-1]
            self.statistics[-1] = (1 - MOMENTUM) * mean, MOMENTUM + (1 - MOMENTUM) * variance
        return made


MOMENTUM = 0.997
UPDATE = 100  # examples of the published update

_POLICIES: dict[str, Callable[[nn.Module | None], BatchNormPolicy]] = {
    **POLICIES,
    "published": PublishedStatistics,
}


class Sample(NamedTuple):
    """How features are drawn: the arguments of `nngp`."""

    draws: int
    weights: str
    batchnorm: str
    chunk: int | None
    keep: Collection[str]
    params: Law | None
    call: Call
    calibration: Tensor | None = None

    def features(
        self,
        model: Callable[..., Any],
        batches: Sequence[Inputs],
        calibration: Inputs | None,
        generator: torch.Generator,
    ) -> Iterator[list[Features]]:
        """The features of each batch on each draw."""
        self.check()
        given = batches if calibration is None else [*batches, calibration]
        call = self.call
        if self.params is not None:  # any draw shows the structure
            call = replace(call, params=self.params(torch.Generator()))
        called, shown = call.on_all(model, given)
        sample = self if calibration is None else self._replace(calibration=shown[-1])
        return _features_of_draws(called, shown[: len(batches)], sample, generator)

    def splits(self, x: Tensor) -> bool:
        """Whether a batch passes in parts."""
        return self.batchnorm != "batch" and self.chunk is not None and len(x) > self.chunk

    def check(self) -> None:
        if self.draws < 1:
            raise ValueError(f"expected at least one draw, got draws={self.draws!r}")
        if self.batchnorm not in get_args(Statistics):
            raise ValueError(
                f"unknown BatchNorm statistics: expected one of "
                f"{', '.join(get_args(Statistics))}, got {self.batchnorm!r}"
            )
        if self.params is not None and not callable(self.params):
            raise ValueError(
                f"params: expected a function that draws the parameters by a generator, got one "
                f"of type {type(self.params).__name__}"
            )

    def drawing(self, model: nn.Module, x: Tensor) -> Callable[[torch.Generator], None]:
        """Draws the next weights, or parameters."""
        if self.params is not None:
            law = self.params
            return lambda generator: cast(Called, model).write(law(generator))
        return Initialisation.of(model, self.weights, x[:2], self.keep).draw


# One draw after the other. All draws at once, by `vmap` over `stacked_weights`, took on one core,
# for 32 draws: NAS-Bench-201 of 3 channels on 32 images of 8x8, 0.09 s instead of 0.30; on 64 of
# 16x16, 0.25 instead of 0.39; of 16 channels on 32 of 16x16, 1.20 instead of 1.25; a small MLP on
# 1000 rows, 0.63 instead of 0.27. It gains where kernels are cheap and loses where they are not.
def _features_of_draws(
    model: nn.Module, batches: Sequence[Tensor], sample: Sample, generator: torch.Generator
) -> Iterator[list[Features]]:
    """The features of each batch on each draw, for the time of which the model is borrowed."""
    model = unwrapped(model)
    with borrowed(model):
        draw = sample.drawing(model, batches[0])
        last = _takes_channels_last(model, batches[0])
    if last:
        batches, sample = _channels_last(batches, sample)
    for m in range(1, sample.draws + 1):
        with borrowed(model):
            if last:
                model.to(memory_format=LAYOUT)  # type: ignore[call-overload]  # torch's stub
            draw(generator)
            state = generator.get_state()
            with evaluating(model), foreign(batches[0]):
                found, policy = _features(model, batches, sample, generator)
                parted = m == 1 and sample.splits(batches[-1])  # one draw tells
                if parted and coupled(model, batches[-1], policy, found[-1]):
                    sample = sample._replace(chunk=None)
                    generator.set_state(state)
                    found, _ = _features(model, batches, sample, generator)
        if not all(torch.isfinite(part.z).all() for part in found):
            raise ValueError(
                f"the features of draw {m} of {sample.draws} are NaN or infinite: expected a "
                f"network that does not overflow; try other weights or batchnorm='frozen'"
            )
        yield found


# Milliseconds an image on one core, random networks of the `narrow` scale at 32x32 in chunks of
# 100, and in this order in chunks of 100 and of 25, beside other work: NAS-Bench-201 2.1, now 1.1
# and 0.7; NAS-Bench-101 1.2, now 0.4 and 0.4; MNAS 6.2, now 4.1 and 2.2; DARTS 3.0, now 1.2 and
# 1.8.
def _takes_channels_last(model: nn.Module, x: Tensor) -> bool:
    """Whether the model takes images in the order in which convolutions and pooling are fastest.

    Not what are no images, nor a network that views its activations as vectors, or that keeps
    views of its parameters, which would be left behind.
    """
    if x.ndim != 4 or not len(x) or shares_memory(model):
        return False
    return channels_last(model, x[:1].clone())


def _channels_last(batches: Sequence[Tensor], sample: Sample) -> tuple[Sequence[Tensor], Sample]:
    """Images in that order, those of the calibration too."""
    if sample.calibration is not None:
        seen = sample.calibration.contiguous(memory_format=LAYOUT)
        sample = sample._replace(calibration=seen)
    return [batch.contiguous(memory_format=LAYOUT) for batch in batches], sample


def _features(
    model: nn.Module, batches: Sequence[Tensor], sample: Sample, generator: torch.Generator
) -> tuple[list[Features], BatchNormPolicy]:
    """The features of each batch, under one policy that has seen the calibration first."""
    policy = _POLICIES[sample.batchnorm](model)
    first, *others = batches
    if sample.batchnorm == "batch":
        return [pass_through(model, x, policy) for x in batches], policy
    if sample.batchnorm == "frozen" and sample.calibration is None:
        calibrating = pass_through(model, first, policy)  # records the statistics, and is kept
        rest = [pass_through(model, x, policy, sample.chunk) for x in others]
        return [calibrating, *rest], policy
    if sample.batchnorm != "running":
        seen = first if sample.calibration is None else sample.calibration
        if sample.batchnorm == "published":
            seen = seen[torch.randperm(len(seen), generator=generator)[:UPDATE].to(seen.device)]
        pass_through(model, seen, policy)
    return [pass_through(model, x, policy, sample.chunk) for x in batches], policy
