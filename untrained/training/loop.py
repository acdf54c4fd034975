"""Training, an epoch at a time."""

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from untrained.images.dataset import Images
from untrained.training.batches import augment, draw_batches
from untrained.training.checkpoint import Checkpoint, describe, load_checkpoint, save_checkpoint
from untrained.training.epoch import Epoch, best_epoch
from untrained.training.evaluation import check_logits, evaluate
from untrained.training.recipe import Recipe, check_recipe, learning_rate


@dataclass(frozen=True)
class Training:
    """How far a training has come."""

    epochs: tuple[Epoch, ...]
    "Every epoch so far, from the first; also those of earlier calls, read from the checkpoint."
    best_epoch: int | None
    "Number of the epoch with the best validation accuracy, the earliest among equals."
    failure: str
    "Why training ended early, and what to try; empty if it did not."
    finished: bool
    "Nothing is left to do: the last epoch is done, or training failed."


def train(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    until: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    device: str = "cpu",
) -> Training:
    """Train a network in place, from its present weights or from a checkpoint.

    A training cut anywhere and called again with its checkpoint ends as an unbroken one, bit for
    bit: order of the images, augmentation and dropout are drawn from (seed, epoch), so weights,
    momentum and history are the whole state. The global random state is left as it was.

    A loss that is not finite ends the training; the history and the best weights are kept (the
    initial ones, if it was the first epoch), and a checkpoint remembers the failure.

    A network in `torch.channels_last` memory stays so, and trains about a quarter faster on a
    CPU; begin and go on in the same layout, which decides the last bits.

    Args:
        network: maps normalised images (n, c, h, w) to logits (n, classes). Moved to `device`,
            and left in evaluation mode: with the weights of the best epoch once training is
            finished, until then with the current ones.
        images: trains on `train`, chooses the epoch on `validation`, does not touch `test`.
        recipe: every choice of the training.
        seed: with the epoch's number, fixes everything random but the initial weights.
        checkpoint: a file, written after each epoch and gone on from if it exists; its weights
            then replace those of `network`. None keeps nothing, and each call starts anew.
        until: stop after this epoch; 0 only reads the checkpoint. None goes on to the end.
        on_epoch: called with each new epoch, after its checkpoint is on the disk.
        device: where to compute: `cpu`, `cuda`, `cuda:1`.

    Raises:
        ValueError: if recipe, images and network do not fit each other, or if the checkpoint is
            damaged or of another training.
    """
    _check(network, images, recipe, until)
    network.to(device)
    optimizer = build_optimizer(network, recipe)
    state = _begin(network, optimizer, describe(network, images, recipe, seed), checkpoint)
    last = recipe.epochs if until is None else min(until, recipe.epochs)
    while len(state.epochs) < last and not state.failure:
        state = _advance(state, network, optimizer, images, recipe, seed, device)
        if checkpoint is not None:
            save_checkpoint(checkpoint, state)
        if on_epoch is not None and not state.failure:
            on_epoch(state.epochs[-1])
    finished = len(state.epochs) == recipe.epochs or bool(state.failure)
    if finished:
        network.load_state_dict(state.best)
    network.eval()
    return Training(state.epochs, best_epoch(state.epochs), state.failure, finished)


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over the trainable parameters; those with one dimension or none do not decay."""
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.momentum > 0,  # SGD refuses Nesterov without momentum
    )


def run_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Images,
    recipe: Recipe,
    number: int,
    seed: int,
    device: str,
) -> Epoch:
    """One pass over the training images, then one over those of validation.

    Raises:
        FloatingPointError: if a loss is not finite; it says where.
    """
    began = time.perf_counter()
    generator = torch.Generator().manual_seed(_mix(seed, number, "images"))
    batches = draw_batches(len(images.train), recipe.batch, generator)
    rates = [
        learning_rate(recipe, (number - 1) * len(batches) + k, len(batches))
        for k in range(len(batches))
    ]
    with _repeatable(_mix(seed, number, "network"), device):
        loss, accuracy = train_on(
            batches, rates, network, optimizer, images, recipe, generator, device
        )
    validation = evaluate(network, images.validation, images, device=device)
    return Epoch(
        number=number,
        learning_rate=rates[-1],
        train_loss=loss,
        train_accuracy=accuracy,
        validation_loss=validation.loss,
        validation_accuracy=validation.accuracy,
        seconds=time.perf_counter() - began,
    )


def train_on(
    batches: Sequence[Int64[Tensor, " _"]],
    rates: Sequence[float],
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Images,
    recipe: Recipe,
    generator: torch.Generator,
    device: str,
) -> tuple[float, float]:
    """One step on each batch of rows at its learning rate; mean loss and accuracy of all."""
    loss, correct = 0.0, 0
    network.train()
    for step, (rows, rate) in enumerate(zip(batches, rates, strict=True), start=1):
        inputs = augment(images.train.pixels[rows], images, recipe, generator, device)
        labels = images.train.labels[rows].to(device)
        logits = network(inputs)
        check_logits(logits, images)
        objective = cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
        if not objective.isfinite():
            raise FloatingPointError(f"step {step} of {len(batches)}: the loss is not finite")
        descend(optimizer, objective, rate)
        loss += objective.item() * len(rows)
        correct += int((logits.argmax(1) == labels).sum())
    shown = sum(len(rows) for rows in batches)
    return loss / shown, correct / shown


def descend(optimizer: torch.optim.Optimizer, objective: Float[Tensor, ""], rate: float) -> None:
    """One step of the optimizer down the gradient of the objective."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    objective.backward()
    optimizer.step()


def _begin(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    asked: dict[str, object],
    path: Path | None,
) -> Checkpoint:
    """The state before the next epoch, with network and optimizer brought to it."""
    if path is None or not path.exists():
        weights = deepcopy(network.state_dict())
        return Checkpoint(asked, (), "", weights, weights, deepcopy(optimizer.state_dict()))
    state = load_checkpoint(path, asked)
    network.load_state_dict(state.network)
    optimizer.load_state_dict(dict(state.optimizer))
    return state


def _advance(
    state: Checkpoint,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Images,
    recipe: Recipe,
    seed: int,
    device: str,
) -> Checkpoint:
    """The state one epoch later, or the same with the reason why there is none."""
    number = len(state.epochs) + 1
    try:
        epoch = run_epoch(network, optimizer, images, recipe, number, seed, device)
    except FloatingPointError as error:
        failure = f"epoch {number}, {error}; try a learning rate below {recipe.learning_rate:g}"
        return replace(state, failure=failure)
    epochs = (*state.epochs, epoch)
    weights = deepcopy(network.state_dict())
    return replace(
        state,
        epochs=epochs,
        network=weights,
        best=weights if best_epoch(epochs) == number else state.best,
        optimizer=deepcopy(optimizer.state_dict()),
    )


@contextmanager
def _repeatable(seed: int, device: str) -> Iterator[None]:
    """Inside, dropout and cuDNN give equal bits for equal seeds; the caller's state comes back."""
    cuda = [torch.device(device)] if torch.device(device).type == "cuda" else []
    cudnn = torch.backends.cudnn
    flags = cudnn.deterministic, cudnn.benchmark
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        with torch.random.fork_rng(devices=cuda), torch.enable_grad():
            # Not torch.manual_seed, which would reseed devices that are not forked.
            torch.default_generator.manual_seed(seed)
            for forked in cuda:
                with torch.cuda.device(forked):
                    torch.cuda.manual_seed(seed)
            yield
    finally:
        cudnn.deterministic, cudnn.benchmark = flags


def _mix(seed: int, epoch: int, purpose: str) -> int:
    """A seed of its own for each purpose and epoch; neighbours are unrelated."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{epoch}/{purpose}".encode()).digest()[:4])


def _check(network: nn.Module, images: Images, recipe: Recipe, until: int | None) -> None:
    check_recipe(recipe)
    if until is not None and until < 0:
        raise ValueError(f"until: expected an epoch of 0 or more, got {until!r}; try None")
    if len(images.train) < 2 or len(images.validation) < 1:
        raise ValueError(
            f"expected at least 2 images to train on and 1 to validate on, got "
            f"{len(images.train)} and {len(images.validation)}; load more images"
        )
    if recipe.cutout > min(images.shape[1:]):
        raise ValueError(
            f"cutout: expected at most the side of the images, {min(images.shape[1:])}, "
            f"got {recipe.cutout!r}; try {min(images.shape[1:]) // 2}"
        )
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise ValueError(
            "expected a network with parameters to train, got none with requires_grad; "
            "set requires_grad_(True) on those to train"
        )
