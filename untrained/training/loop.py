"""Training, an epoch at a time."""

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import nn

from untrained.images.dataset import Images
from untrained.locations import Location
from untrained.training.batches import draw_batches
from untrained.training.checkpoint import (
    Checkpoint,
    ShortTrained,
    describe,
    load_checkpoint,
    save_checkpoint,
)
from untrained.training.descent import Setup, set_up, split_outputs, train_on
from untrained.training.epoch import Epoch, best_epoch
from untrained.training.evaluation import evaluate
from untrained.training.recipe import (
    Recipe,
    check_precision,
    check_recipe,
)
from untrained.training.schedule import drop_probability, learning_rate


@dataclass(frozen=True)
class Training:
    """How far a training has come."""

    epochs: tuple[Epoch, ...]
    "Every epoch so far, from the first; also those of earlier calls, read from the checkpoint."
    best_epoch: int | None
    "Number of the epoch with the best validation accuracy, the earliest among equals."
    reason: str
    "Why training ended early, and what to try; empty if it did not."
    finished: bool
    "Nothing is left to do: the last epoch is done, or training failed."


def train(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: Location | None = None,
    until: int | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    device: str = "cpu",
) -> Training:
    """Train a network in place, from its present weights or from a checkpoint.

    A training cut anywhere and called again with its checkpoint ends as an unbroken one, bit for
    bit: order of the images, augmentation and dropout are drawn from (seed, epoch), so weights,
    optimizer, average, the scaler of mixed precision and history are the whole state. The global
    random state is left as it was.

    A loss that is not finite ends the training; the history and the best weights are kept (the
    initial ones, if it was the first epoch), and a checkpoint remembers the failure.

    A network in `torch.channels_last` memory stays so, and trains about a quarter faster on a
    CPU; begin and resume in the same layout, which decides the last bits.

    Args:
        network: maps normalised images (n, c, h, w) to logits (n, classes); in training mode it
            may give (logits, auxiliary logits). Moved to `device`, and left in evaluation mode:
            with the weights of the best epoch once training is finished, until then with the
            current ones, or their average where the recipe has one.
        images: trains on `train`, chooses the epoch on `validation`, does not touch `test`.
        recipe: every choice of the training.
        seed: with the epoch's number, fixes everything random but the initial weights.
        checkpoint: a file, written after each epoch and resumed from if it exists; its weights
            then replace those of `network`. None keeps nothing, and each call starts anew.
        until: stop after this epoch; 0 only reads the checkpoint. None trains to the end.
        on_epoch: called with each new epoch, after its checkpoint is on the disk.
        device: where to compute: `cpu`, `cuda`, `cuda:1`.

    Raises:
        ValueError: if recipe, images and network do not fit each other, or if the checkpoint is
            damaged or of another training.
    """
    _check(network, images, recipe, until)
    check_precision(recipe, device)
    setup = set_up(network, images, recipe, seed, device)
    state = _begin(setup, checkpoint)
    last = recipe.epochs if until is None else min(until, recipe.epochs)
    while len(state.epochs) < last and not state.reason:
        state = _advance(state, setup)
        if checkpoint is not None:
            save_checkpoint(checkpoint, state)
        if on_epoch is not None and not state.reason:
            on_epoch(state.epochs[-1])
    finished = len(state.epochs) == recipe.epochs or bool(state.reason)
    network.load_state_dict(state.best if finished else setup.judged.state_dict())
    network.eval()
    return Training(state.epochs, best_epoch(state.epochs), state.reason, finished)


def train_short(
    network: nn.Module,
    images: Images,
    recipe: Recipe,
    *,
    seed: int = 0,
    until: int | None = None,
    since: ShortTrained | None = None,
    device: str = "cpu",
) -> ShortTrained:
    """Train for a few epochs and keep the last weights: no validation, nothing on the disk.

    Steps are those of `train` with the same seed, bit for bit; so are those of a training resumed
    with.

    Args:
        network: as in `train`; left in evaluation mode.
        images: as in `train`.
        recipe: every choice of the training; `epochs` is what the learning rate falls over.
        seed: as in `train`.
        until: stop after this epoch; None trains to the end.
        since: what an earlier call with the same arguments, but for `until`, returned; resume from
            there, whatever the network's weights are. It must have come no further than `until`.
            Under a recipe whose rate is constant, `epochs` may differ too.
        device: where to compute.

    Returns:
        What it takes to resume.

    Raises:
        ValueError: if recipe, images and network do not fit each other, or `since` is beyond
            `until`.
        FloatingPointError: if the training diverges; it says where.
    """
    _check(network, images, recipe, until)
    check_precision(recipe, device)
    last = recipe.epochs if until is None else min(until, recipe.epochs)
    setup = set_up(network, images, recipe, seed, device)
    done = 0
    if since is not None:
        if since.epochs > last:
            raise ValueError(
                f"since: expected a training of at most {last} epochs, got {since.epochs!r}"
            )
        setup.restore(since)
        done = since.epochs
    for number in range(done + 1, last + 1):
        try:
            pass_over(setup, number)
        except FloatingPointError as error:
            raise FloatingPointError(f"epoch {number}, {error}") from error
    trained = ShortTrained(last, **setup.state())
    network.load_state_dict(setup.judged.state_dict())
    network.eval()
    return trained


def run_epoch(setup: Setup, number: int) -> Epoch:
    """One pass over the training images, then one over those of validation.

    Raises:
        FloatingPointError: if a loss is not finite; it says where.
    """
    began = time.perf_counter()
    rate, loss, accuracy = pass_over(setup, number)
    validation = evaluate(setup.judged, setup.images.validation, setup.images, device=setup.device)
    return Epoch(
        number=number,
        learning_rate=rate,
        train_loss=loss,
        train_accuracy=accuracy,
        validation_loss=validation.loss,
        validation_accuracy=validation.accuracy,
        seconds=time.perf_counter() - began,
    )


def pass_over(setup: Setup, number: int) -> tuple[float, float, float]:
    """One pass over the training images: the last learning rate, mean loss and accuracy.

    Raises:
        FloatingPointError: if a loss is not finite; it says where.
    """
    images, recipe = setup.images, setup.recipe
    generator = torch.Generator().manual_seed(_mix(setup.seed, number, "images"))
    batches = draw_batches(len(images.train), recipe.batch, generator)
    rates = [
        learning_rate(recipe, (number - 1) * len(batches) + k, len(batches))
        for k in range(len(batches))
    ]
    with _repeatable(_mix(setup.seed, number, "network"), setup.device), _dropping(setup, number):
        return rates[-1], *train_on(setup, batches, rates, generator)


def _begin(setup: Setup, path: Location | None) -> Checkpoint:
    """The state before the next epoch, to which `setup` is brought."""
    asked = describe(setup.network, setup.images, setup.recipe, setup.seed)
    if path is None or not path.exists():
        state = setup.state()
        return Checkpoint(asked, (), "", best=state["network"], **state)
    found = load_checkpoint(path, asked)
    setup.restore(found)
    return found


def _advance(state: Checkpoint, setup: Setup) -> Checkpoint:
    """The state one epoch later, or the same with the reason why there is none."""
    number = len(state.epochs) + 1
    try:
        epoch = run_epoch(setup, number)
    except FloatingPointError as error:
        rate, mixed = setup.recipe.learning_rate, setup.recipe.precision == "mixed"
        advice = f"try a learning rate below {rate:g}" + ", or precision float32" * mixed
        return replace(state, reason=f"epoch {number}, {error}; {advice}")
    epochs = (*state.epochs, epoch)
    best = state.best
    if best_epoch(epochs) == number:
        best = deepcopy(setup.judged.state_dict())
    return replace(state, epochs=epochs, best=best, **setup.state())


@contextmanager
def _dropping(setup: Setup, number: int) -> Iterator[None]:
    """Inside, the network drops paths as the recipe says for this epoch; then as before."""
    if setup.recipe.drop_path == 0:
        yield
        return
    before = setup.network.drop_path
    setup.network.drop_path = drop_probability(setup.recipe, number)  # type: ignore[assignment]
    try:
        yield
    finally:
        setup.network.drop_path = before


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
    dropped = getattr(network, "drop_path", None)
    if recipe.drop_path > 0 and not isinstance(dropped, float | int):
        raise ValueError(
            f"drop_path: expected 0 for a network whose attribute drop_path is no number, "
            f"got {recipe.drop_path!r}; try 0, or a network that drops its paths with "
            f"probability network.drop_path"
        )


def check_fits(network: nn.Module, images: Images, recipe: Recipe) -> None:
    """Refuse a recipe that these images and a network like this one do not fit.

    Args:
        network: is spent: its running statistics take two blank images in.
        images: to be trained on.
        recipe: to be trained with.

    Raises:
        ValueError: what does not fit, and what to try.
    """
    _check(network, images, recipe, None)
    with torch.no_grad():
        split_outputs(network.train()(torch.zeros(2, *images.shape)), images, recipe)
