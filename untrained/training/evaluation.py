"""What a trained network does on images it was not trained on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from untrained.images.dataset import Images, Labelled


@dataclass(frozen=True)
class Evaluation:
    """How well a network tells the classes of one split apart."""

    accuracy: float
    "Share of images whose largest logit is that of their class, in [0, 1]."
    loss: float
    "Mean cross-entropy, in nats."
    confusion: tuple[tuple[int, ...], ...]
    "Images by true class (row) and predicted class (column)."


def evaluate(
    network: nn.Module,
    labelled: Labelled,
    images: Images,
    *,
    batch: int = 256,
    device: str = "cpu",
) -> Evaluation:
    """Accuracy, loss and confusion matrix of a network in evaluation mode, without augmentation.

    The network is moved to `device`; its `training` flags are as before when this returns.

    Args:
        network: maps normalised images (n, c, h, w) to logits (n, classes).
        labelled: the split to evaluate on: `images.validation`, `images.test`.
        images: gives the class names and the statistics to normalise with.
        batch: images in one forward pass.
        device: where to compute.

    Raises:
        ValueError: if the split is empty, or the logits are not one for each class.
        FloatingPointError: if a logit is not finite.
    """
    if len(labelled) == 0:
        raise ValueError(
            "expected a split with at least one image, got none; "
            "evaluate another split, or load the images with a larger share for this one"
        )
    logits = _logits(network.to(device), labelled, images, batch, device)
    if not logits.isfinite().all():
        raise FloatingPointError("the network's outputs are not finite")
    predicted = logits.argmax(1)
    classes = len(images.classes)
    cells = torch.bincount(labelled.labels * classes + predicted, minlength=classes**2)
    return Evaluation(
        accuracy=(predicted == labelled.labels).double().mean().item(),
        loss=cross_entropy(logits, labelled.labels).item(),
        confusion=tuple(tuple(row) for row in cells.view(classes, classes).tolist()),
    )


def check_logits(logits: object, images: Images) -> Float[Tensor, "n k"]:
    """The logits; ValueError unless they are a tensor with one for each class."""
    if not isinstance(logits, Tensor):
        raise ValueError(
            f"expected a network that gives a tensor of logits, got {type(logits).__name__}; "
            f"auxiliary logits may stand beside them in training mode alone"
        )
    if logits.ndim != 2 or logits.shape[1] != len(images.classes):
        raise ValueError(
            f"expected a network with one logit for each of {len(images.classes)} classes, "
            f"got outputs of shape {tuple(logits.shape)}; build the network with "
            f"classes={len(images.classes)}"
        )
    return logits


@torch.no_grad()
def _logits(
    network: nn.Module, labelled: Labelled, images: Images, batch: int, device: str
) -> Float[Tensor, "n k"]:
    """Logits of every image, on the CPU in float64, so that sums over many are exact enough."""
    with _evaluating(network):
        outputs = [
            check_logits(network(images.normalise(pixels.to(device))), images)
            for pixels in labelled.batches(batch)
        ]
    return torch.cat(outputs).double().cpu()


@contextmanager
def _evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards each module's flag is as it was."""
    flags = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, training in flags:
            module.training = training
