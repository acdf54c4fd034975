"""What hinders a network's training, read off one forward and one backward pass and its NTK."""

from dataclasses import dataclass
from functools import cache, cached_property, partial
from math import isfinite, log
from typing import NamedTuple

import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from untrained.estimate import Quantity
from untrained.images import Images, Probe, ProbeSpec, draw_probe
from untrained.inspection.diagnosis import diagnose
from untrained.inspection.evidence import Evidence
from untrained.inspection.finding import Finding
from untrained.inspection.frames import layer_frame, parameter_frame
from untrained.inspection.parameters import parameters_of
from untrained.inspection.passes import Passed, pass_through, scale_passes
from untrained.inspection.tangent import tangent_of
from untrained.locations import Location, located
from untrained.networks.arguments import check_inputs
from untrained.networks.unwrapping import unwrapped
from untrained.notebook import card


@dataclass(frozen=True)
class Inspection:
    """What was measured of a network, and what was found."""

    evidence: Evidence
    findings: tuple[Finding, ...]
    "What hinders training, causes first; then what is worth knowing."
    origin: str
    "Of the images: `64 of digits/train`."

    @cached_property
    def layers(self) -> pl.DataFrame:
        """A row for each layer, in the order of the program; see `frames`."""
        return layer_frame(self.evidence, self.findings)

    @cached_property
    def parameters(self) -> pl.DataFrame:
        """A row for each parameter tensor; see `frames`."""
        return parameter_frame(self.evidence)

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that hinder training."""
        return tuple(finding for finding in self.findings if finding.hinders)

    @property
    def loss(self) -> Quantity:
        """Cross-entropy of the images at initialisation, in nats."""
        if self.evidence.loss is None:
            return Quantity(None, "the outputs are not finite")
        return Quantity(self.evidence.loss)

    @property
    def chance(self) -> float:
        """log K, the loss of equal chances."""
        return log(self.evidence.classes)

    @property
    def condition_number(self) -> Quantity:
        """Of the NTK of the summed logits."""
        whole = self.evidence.tangent.whole
        if whole is None:
            return Quantity(None, self.evidence.tangent.reason)
        return Quantity(whole.condition_number, whole.reason)

    @property
    def effective_rank(self) -> Quantity:
        """Of the same kernel."""
        whole = self.evidence.tangent.whole
        if whole is None:
            return Quantity(None, self.evidence.tangent.reason)
        return Quantity(whole.effective_rank, whole.degenerate)

    @property
    def coupling(self) -> Quantity:
        """Share of an output's squared derivatives that is by other images than its own."""
        share = self.evidence.passed.coupling
        return Quantity(share, "" if share is not None else "no gradient comes back to the images")

    def _repr_html_(self) -> str:
        lines = [f"{finding.title}: {finding.change}" for finding in self.findings]
        return card(f"Inspection on {self.origin}", lines, self.layers)

    def page(self, path: Location | str, *, title: str = "", command: str = "") -> Location:
        """Writes it as one self-contained HTML page, and returns its path.

        Args:
            path: the file, in a folder that exists; or its URL. An older page is replaced at once.
            title: of the page; by default the network's class.
            command: the command line that makes it again; left out if empty.

        Raises:
            OSError: the page cannot be written.
        """
        from untrained.inspection.page import write_inspected  # with plotly, which only it needs

        where = located(path) if isinstance(path, str) else path
        write_inspected(self, where, title=title, command=command)
        return where


def inspect(
    network: nn.Module,
    images: Images | Probe | Tensor,
    labels: Tensor | None = None,
    *,
    count: int = 64,
    seed: int = 0,
) -> Inspection:
    """What hinders the training of a network, as it is now, on these images.

    One forward and one backward pass as in training, BatchNorm by the statistics of the batch and
    dropout off, and the NTK with these statistics held constant. The network is left as it was.

    Args:
        network: any that gives a row of K logits for each image.
        images: a data set, of which `count` training images are drawn and normalised; a probe; or
            a batch as the network is to see it.
        labels: classes of a batch; without them, the loss is a mean over all classes.
        count: images drawn of a data set; all where it has fewer.
        seed: of images and of the random directions of gradients.

    Raises:
        ValueError: outputs that are not a row of numbers for each image, or not one for each
            class; fewer than two images, or NaN among them; whatever the network itself raises.

    Example:
        >>> from untrained import load_images
        >>> network = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
        >>> with torch.no_grad():
        ...     _ = network[1].bias.fill_(-10)
        >>> print(inspect(network, load_images("digits")).findings[0].title)
        dead units at layer 2
    """
    model = unwrapped(network)
    generator = torch.Generator().manual_seed(seed)
    shown = _shown(images, labels, count, generator)
    x = shown.inputs
    check_inputs(x, None, "batch")
    if len(x) < 2:
        raise ValueError(f"expected two images or more, got {len(x)}")
    passed = pass_through(model, x, generator)
    outputs = passed.outputs.shape[1]
    if shown.classes not in (None, outputs):
        raise ValueError(
            f"expected a logit for each of {shown.classes} classes, ({len(x)}, {shown.classes}), "
            f"got outputs of {outputs} numbers for each image; set the size of the last layer"
        )
    evidence = Evidence(
        passed,
        parameters_of(model, x, passed),
        tangent_of(model, x),
        _loss(passed, shown.labels),
        outputs,
        cache(partial(scale_passes, model, x[:DOUBLED])),
    )
    return Inspection(evidence, diagnose(evidence), shown.origin)


DOUBLED = 16
"Images on which layers are tried with their outputs doubled."


class _Shown(NamedTuple):
    """A batch, and what is known of it."""

    inputs: Tensor
    labels: Tensor | None
    classes: int | None
    origin: str


def _shown(
    images: Images | Probe | Tensor, labels: Tensor | None, count: int, generator: torch.Generator
) -> _Shown:
    """The images as the network sees them."""
    if isinstance(images, Tensor):
        if labels is not None and len(labels) != len(images):
            raise ValueError(f"expected {len(images)} labels, one an image, got {len(labels)}")
        return _Shown(images, labels, None, f"{len(images)} images given")
    if isinstance(images, Images):
        images = draw_probe(images, ProbeSpec(count=count, at_most=True), generator)
    if not isinstance(images, Probe):
        raise ValueError(
            f"expected images as load_images gives them, or a batch as a tensor, got {images!r}"
        )
    return _Shown(images.inputs, images.labels, images.classes, images.origin)


def _loss(passed: Passed, labels: Tensor | None) -> float | None:
    """Cross-entropy with the labels; without them, the mean over labels of equal chances."""
    each = -F.log_softmax(passed.outputs.double(), 1)
    own = each if labels is None else each.gather(1, labels.to(each.device)[:, None])
    loss = own.mean().item()
    return loss if isfinite(loss) else None
