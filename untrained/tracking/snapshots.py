"""What is read from a network at one epoch of its training, on images fixed once for all.

    Theta_t      the NTK on the probe after epoch t; Theta_0 that at initialisation
    LGA          how far Theta_t resembles the label kernel; see `analysis.alignment`
    by class     the same for the labels "this class" and "another"; see `by_class`
    by layer     the parts of Theta_t that layers add, of which it is the sum; see `by_layer`
    regression   kernel regression with an NTK on the support, tried on the held-out images: what
                 the network does when it is linearised at that epoch
    advantage    accuracy of the network less that of the regression, on the same held-out images

The regression knows the support alone, while the network has seen every training image: with
fewer images in the support than in training, part of the advantage is that of more images. Its
kernel is the one that is tracked, the same for each class: of summed logits, it stands for the
kernel of one logit up to its scale.

Under an optimizer that scales the step of each parameter, every kernel here is J P J^T, with P
these scales; see `preconditioned`.

Source: Fort et al., "Deep learning versus kernel learning", NeurIPS 2020,
https://arxiv.org/abs/2010.15110 (the advantage); Mohamadi, Bae & Sutherland, ICML 2023,
https://arxiv.org/abs/2206.12543 (regression with the kernel of summed logits).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import reduce
from math import isfinite
from operator import add
from typing import Any, NamedTuple

import torch
from jaxtyping import Float32
from torch import Tensor, nn

from untrained.analysis import Kernel, spectrum
from untrained.analysis.alignment import (
    centred_alignment,
    correlation,
    label_alignment,
    relative_change,
)
from untrained.analysis.blocks import split
from untrained.analysis.label_energy import label_energy
from untrained.analysis.validation import validate
from untrained.estimate import Quantity
from untrained.images import Images, Labelled
from untrained.kernels import ntk_contributions, preconditioned_contributions
from untrained.networks.arguments import chosen_parameters
from untrained.networks.unwrapping import differentiable
from untrained.tracking.by_class import ClassAlignment, by_class
from untrained.tracking.by_layer import LayerShare, by_layer, layer_groups
from untrained.tracking.config import Tracking, check_tracking
from untrained.tracking.scales import Scales
from untrained.training import Epoch, evaluate


@dataclass(frozen=True)
class Snapshot:
    """The kernel at an epoch, in numbers. Accuracies and shares are in [0, 1]."""

    epoch: int
    "0 at initialisation."
    seconds: float
    "That it took."
    eigenvalues: tuple[float, ...]
    "Of Theta_t, the largest first; those above its resolution."
    train_loss: Quantity
    "Mean over the epoch, under augmentation."
    train_accuracy: Quantity
    validation_loss: Quantity
    validation_accuracy: Quantity
    "On all validation images."
    alignment: Quantity
    "LGA: correlation of Theta_t with the label kernel."
    label_energy: Quantity
    "Share of the labels in the top K eigenvectors of Theta_t, K the number of classes."
    correlation_initial: Quantity
    "Of the entries of Theta_t and Theta_0."
    correlation_previous: Quantity
    "With the kernel of the snapshot before."
    centred_initial: Quantity
    "Centred alignment (CKA) of Theta_t and Theta_0."
    centred_previous: Quantity
    change_initial: Quantity
    "||Theta_t - Theta_0|| / ||Theta_0||."
    change_previous: Quantity
    effective_rank: Quantity
    "(tr Theta)^2 / ||Theta||^2."
    largest_eigenvalue: Quantity
    condition_number: Quantity
    trace: Quantity
    norm: Quantity
    "||Theta||, Frobenius."
    network_accuracy: Quantity
    "On the held-out images."
    regression_accuracy: Quantity
    "Of regression with Theta_t, on the held-out images."
    advantage_initial: Quantity
    "Of the network over regression with Theta_0."
    advantage: Quantity
    "Of the network over regression with Theta_t."
    by_class: tuple[ClassAlignment, ...] = ()
    "Classes of the probe; none in trackings of older versions."
    by_layer: tuple[LayerShare, ...] = ()
    "Layers, from the network's first; none where none were asked for."


MEASURED = tuple(field.name for field in fields(Snapshot) if field.type is Quantity)
"Names of the quantities of a snapshot."


class TrackedImages(NamedTuple):
    """The images of every snapshot, fixed once."""

    probe: Labelled
    "Sorted by class."
    support: Labelled
    held_out: Labelled


class Earlier(NamedTuple):
    """What a snapshot is compared with."""

    first: Float32[Tensor, "n n"]
    "Theta_0."
    previous: Float32[Tensor, "n n"]
    regression: Quantity
    "Accuracy of regression with Theta_0."
    layers: Mapping[str, Float32[Tensor, "n n"]]
    "What each layer adds to Theta_0."


class Taken(NamedTuple):
    """A snapshot, with what later ones are compared with."""

    snapshot: Snapshot
    kernel: Float32[Tensor, "n n"]
    "Theta_t on the probe."
    layers: Mapping[str, Float32[Tensor, "n n"]]
    "What each layer adds to it."


def draw_tracked_images(
    images: Images, spec: Tracking, generator: torch.Generator
) -> TrackedImages:
    """The images of a tracking: probe and held-out ones may share some, neither is trained on."""
    check_tracking(spec)
    probe = images.validation.some(spec.probe, generator)
    order = probe.labels.sort(stable=True).indices
    return TrackedImages(
        probe.select(order),
        images.train.some(spec.support, generator),
        images.validation.some(spec.held_out, generator),
    )


def take_snapshot(
    network: nn.Module,
    images: Images,
    shown: TrackedImages,
    spec: Tracking,
    epoch: Epoch | int | None,
    earlier: Earlier | None,
    device: str = "cpu",
    scales: Scales | None = None,
) -> Taken:
    """A snapshot of a network, which is left as it was.

    Args:
        network: on `device`, with the weights of that epoch.
        images: give classes and statistics.
        shown: the images.
        spec: how.
        epoch: what the epoch before it gave, or its number alone; None at initialisation.
        earlier: what was seen before; None at initialisation.
        device: where to compute.
        scales: of the optimizer's steps; None of plain gradient descent.

    Raises:
        ValueError: a kernel that cannot be asked for; it says what to try.
    """
    began = time.perf_counter()
    shares = layer_kernels(network, images, shown, spec, device, scales)
    theta = reduce(add, shares.values())
    layers = {layer: as_kept(share) for layer, share in shares.items()} if spec.layers else {}
    labels, classes = shown.probe.labels.to(device), len(images.classes)
    whole = as_kept(theta)  # compared so, that a resume agrees
    found, energy = spectrum(theta), label_energy(theta, labels)
    regressed = _regression(network, images, shown, spec, device, scales)
    network_accuracy = _accuracy(network, images, shown.held_out, device)
    before = earlier or Earlier(whole, whole, regressed, layers)
    previous = Quantity(None, "the first snapshot has none before it") if earlier is None else None
    snapshot = Snapshot(
        epoch=number_of(epoch),
        seconds=time.perf_counter() - began,
        eigenvalues=tuple(found.resolved.tolist()),
        **_training(network, images, epoch, device),
        alignment=label_alignment(theta, labels),
        label_energy=_quantity(energy.top(min(classes, len(labels))), energy.reason),
        correlation_initial=correlation(before.first, whole),
        correlation_previous=previous or correlation(before.previous, whole),
        centred_initial=centred_alignment(before.first, whole),
        centred_previous=previous or centred_alignment(before.previous, whole),
        change_initial=relative_change(before.first, whole),
        change_previous=previous or relative_change(before.previous, whole),
        effective_rank=_quantity(found.effective_rank, found.degenerate),
        largest_eigenvalue=_quantity(_largest(found.eigenvalues), found.degenerate),
        condition_number=_quantity(found.condition_number, found.reason),
        trace=_quantity(found.trace, found.degenerate),
        norm=_quantity(found.norm, found.degenerate),
        network_accuracy=network_accuracy,
        regression_accuracy=regressed,
        advantage_initial=_less(network_accuracy, before.regression),
        advantage=_less(network_accuracy, regressed),
        by_class=by_class(theta, labels, energy, classes),
        by_layer=by_layer(layers, before.layers, shown.probe.labels),
    )
    return Taken(snapshot, whole, layers)


def number_of(epoch: Epoch | int | None) -> int:
    """From 1; 0 at initialisation."""
    return epoch.number if isinstance(epoch, Epoch) else epoch or 0


def as_kept(kernel: Kernel) -> Float32[Tensor, "n n"]:
    """In the form in which it waits for later ones."""
    return kernel.as_subclass(Tensor).float().cpu()


def layer_kernels(
    network: nn.Module,
    images: Images,
    shown: TrackedImages,
    spec: Tracking,
    device: str,
    scales: Scales | None,
) -> dict[str, Kernel]:
    """What each layer, or group of layers, adds to the kernel on the probe; arguments as above."""
    pixels = images.normalise(shown.probe.pixels.to(device))
    return _contributions(network, pixels, spec, scales, spec.layers)


def _contributions(
    network: nn.Module, inputs: Tensor, spec: Tracking, scales: Scales | None, layers: int
) -> dict[str, Kernel]:
    """The kernels of so many groups of layers at most, of which Theta is the sum."""
    network = differentiable(network, spec.batchnorm)
    chosen = chosen_parameters(network, spec.parameters)
    groups = layer_groups([*chosen], max(layers, 1))
    asked: dict[str, Any] = {"output": spec.output, "batchnorm": spec.batchnorm}
    if scales is None:
        return ntk_contributions(
            network, inputs, by=groups.__getitem__, parameters=spec.parameters, **asked
        )
    given = {name: scale for name, scale in scales(network).items() if name in chosen}
    return preconditioned_contributions(
        network, inputs, scales=given, by=groups.__getitem__, **asked
    )


def _regression(
    network: nn.Module,
    images: Images,
    shown: TrackedImages,
    spec: Tracking,
    device: str,
    scales: Scales | None,
) -> Quantity:
    """Accuracy on the held-out images, at the ridge that leave-one-out chooses on the support.

    One kernel of support and held-out images together: BatchNorm has the statistics of both.
    """
    n = len(shown.support)
    if n == 0:
        return Quantity(None, "no support was asked for")
    pixels = torch.cat([shown.support.pixels, shown.held_out.pixels])
    inputs = images.normalise(pixels.to(device))
    (theta,) = _contributions(network, inputs, spec, scales, layers=1).values()
    blocks = split(theta.cpu(), n)
    try:
        found = validate(
            blocks, shown.support.labels, shown.held_out.labels, classes=len(images.classes)
        )
    except ValueError as error:  # a single class
        return Quantity(None, str(error))
    return _quantity(found.accuracy, found.reason)


def _accuracy(network: nn.Module, images: Images, split: Labelled, device: str) -> Quantity:
    try:
        return Quantity(evaluate(network, split, images, device=device).accuracy)
    except FloatingPointError as error:
        return Quantity(None, str(error))


def _training(
    network: nn.Module, images: Images, epoch: Epoch | int | None, device: str
) -> dict[str, Any]:
    """Losses and accuracies of the epoch; without them, those on the validation images."""
    if isinstance(epoch, Epoch):
        return {
            "train_loss": Quantity(epoch.train_loss),
            "train_accuracy": Quantity(epoch.train_accuracy),
            "validation_loss": Quantity(epoch.validation_loss),
            "validation_accuracy": Quantity(epoch.validation_accuracy),
        }
    none = Quantity(None, "the training loop does not say" if epoch else "nothing is trained yet")
    try:
        found = evaluate(network, images.validation, images, device=device)
    except FloatingPointError as error:
        loss = accuracy = Quantity(None, str(error))
    else:
        loss, accuracy = _quantity(found.loss, ""), Quantity(found.accuracy)
    return {
        "train_loss": none,
        "train_accuracy": none,
        "validation_loss": loss,
        "validation_accuracy": accuracy,
    }


def _largest(eigenvalues: Tensor) -> float | None:
    return eigenvalues[-1].item() if len(eigenvalues) else None


def _quantity(value: float | None, reason: str) -> Quantity:
    """The value, or the reason; the latter also for a value that is not finite."""
    if value is None:
        return Quantity(None, reason)
    if not isfinite(value):
        return Quantity(None, f"not a finite number: {value}")
    return Quantity(value)


def _less(whole: Quantity, part: Quantity) -> Quantity:
    if whole.value is None or part.value is None:
        return Quantity(None, whole.reason or part.reason)
    return Quantity(whole.value - part.value)
