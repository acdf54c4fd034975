"""What is read from a network at one epoch of its training, on images fixed once for all.

    Theta_t      the NTK on the probe after epoch t; Theta_0 that at initialisation
    LGA          how far Theta_t resembles the label kernel; see `analysis.alignment`
    regression   kernel regression with an NTK on the support, tried on the held-out images: what
                 the network does when it is linearised at that epoch
    advantage    accuracy of the network less that of the regression, on the same held-out images

The regression knows the support alone, while the network has seen every training image: with
fewer images in the support than in training, part of the advantage is that of more images. Its
kernel is the one that is tracked, the same for each class: of summed logits, it stands for the
kernel of one logit up to its scale.

Source: Fort et al., "Deep learning versus kernel learning", NeurIPS 2020,
https://arxiv.org/abs/2010.15110 (the advantage); Mohamadi, Bae & Sutherland, ICML 2023,
https://arxiv.org/abs/2206.12543 (regression with the kernel of summed logits).
"""

import time
from dataclasses import dataclass, fields
from math import isfinite
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
from untrained.kernels import ntk
from untrained.runs.track_config import Tracking, check_tracking
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
) -> tuple[Snapshot, Float32[Tensor, "n n"]]:
    """A snapshot of a network, which is left as it was; and Theta_t on the probe.

    Args:
        network: on `device`, with the weights of that epoch.
        images: give classes and statistics.
        shown: the images.
        spec: how.
        epoch: what the epoch before it gave, or its number alone; None at initialisation.
        earlier: what was seen before; None at initialisation.
        device: where to compute.

    Raises:
        ValueError: a kernel that cannot be asked for; it says what to try.
    """
    began = time.perf_counter()
    theta = _ntk(network, images.normalise(shown.probe.pixels.to(device)), spec)
    labels, classes = shown.probe.labels.to(device), len(images.classes)
    kept = theta.as_subclass(Tensor).float().cpu()  # compared as kept, so that a resume agrees
    found, energy = spectrum(theta), label_energy(theta, labels)
    regressed = _regression(network, images, shown, spec, device)
    network_accuracy = _accuracy(network, images, shown.held_out, device)
    before = earlier or Earlier(kept, kept, regressed)
    previous = Quantity(None, "the first snapshot has none before it") if earlier is None else None
    snapshot = Snapshot(
        epoch=number_of(epoch),
        seconds=time.perf_counter() - began,
        eigenvalues=tuple(found.resolved.tolist()),
        **_training(network, images, epoch, device),
        alignment=label_alignment(theta, labels),
        label_energy=_quantity(energy.top(min(classes, len(labels))), energy.reason),
        correlation_initial=correlation(before.first, kept),
        correlation_previous=previous or correlation(before.previous, kept),
        centred_initial=centred_alignment(before.first, kept),
        centred_previous=previous or centred_alignment(before.previous, kept),
        change_initial=relative_change(before.first, kept),
        change_previous=previous or relative_change(before.previous, kept),
        effective_rank=_quantity(found.effective_rank, found.degenerate),
        largest_eigenvalue=_quantity(_largest(found.eigenvalues), found.degenerate),
        condition_number=_quantity(found.condition_number, found.reason),
        trace=_quantity(found.trace, found.degenerate),
        norm=_quantity(found.norm, found.degenerate),
        network_accuracy=network_accuracy,
        regression_accuracy=regressed,
        advantage_initial=_less(network_accuracy, before.regression),
        advantage=_less(network_accuracy, regressed),
    )
    return snapshot, kept


def number_of(epoch: Epoch | int | None) -> int:
    """From 1; 0 at initialisation."""
    return epoch.number if isinstance(epoch, Epoch) else epoch or 0


def _ntk(network: nn.Module, inputs: Tensor, spec: Tracking) -> Kernel:
    return ntk(
        network,
        inputs,
        output=spec.output,
        parameters=spec.parameters,
        batchnorm=spec.batchnorm,
    )


def _regression(
    network: nn.Module, images: Images, shown: TrackedImages, spec: Tracking, device: str
) -> Quantity:
    """Accuracy on the held-out images, at the ridge that leave-one-out chooses on the support.

    One kernel of support and held-out images together: BatchNorm has the statistics of both.
    """
    n = len(shown.support)
    if n == 0:
        return Quantity(None, "no support was asked for")
    pixels = torch.cat([shown.support.pixels, shown.held_out.pixels])
    theta = _ntk(network, images.normalise(pixels.to(device)), spec)
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
