"""The steps of one epoch: forward, loss, gradient, step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_

from untrained.images.dataset import Images
from untrained.training.batches import augment
from untrained.training.evaluation import check_logits
from untrained.training.recipe import Recipe


@dataclass(frozen=True)
class Setup:
    """What a training works with from its first epoch to its last."""

    network: nn.Module
    "Trained in place, on `device`."
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    "Keeps float16 gradients from vanishing; switched off, it passes everything on unchanged."
    images: Images
    recipe: Recipe
    seed: int
    device: str


def set_up(network: nn.Module, images: Images, recipe: Recipe, seed: int, device: str) -> Setup:
    """Bring the network to the device, and give it a new optimizer and scaler."""
    network.to(device)
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.precision == "mixed")
    optimizer = build_optimizer(network, recipe)
    return Setup(network, optimizer, scaler, images, recipe, seed, device)


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.SGD:
    """SGD over the trainable parameters.

    Those with one dimension or none decay only if the recipe says that all do.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    flat_decay = recipe.weight_decay if recipe.decay_all else 0.0
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": flat_decay},
    ]
    return torch.optim.SGD(
        groups,
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,  # SGD refuses it without momentum
    )


def train_on(
    setup: Setup,
    batches: Sequence[Int64[Tensor, " _"]],
    rates: Sequence[float],
    generator: torch.Generator,
) -> tuple[float, float]:
    """One step on each batch of rows at its learning rate; mean loss and accuracy of all.

    Both are those of the main logits; the auxiliary head has a part in the gradient alone.

    Raises:
        FloatingPointError: if a loss is not finite; it says at which step.
    """
    train, recipe, device = setup.images.train, setup.recipe, setup.device
    loss, correct = 0.0, 0
    setup.network.train()
    for step, (rows, rate) in enumerate(zip(batches, rates, strict=True), start=1):
        inputs = augment(train.at(rows), setup.images, recipe, generator, device)
        labels = train.labels[rows].to(device)
        mixed = recipe.precision == "mixed"
        with torch.autocast(torch.device(device).type, dtype=torch.float16, enabled=mixed):
            logits, auxiliary = split_outputs(setup.network(inputs), setup.images, recipe)
            main, objective = losses(logits, auxiliary, labels, recipe)
        if not objective.isfinite():
            raise FloatingPointError(f"step {step} of {len(batches)}: the loss is not finite")
        descend(setup, objective, rate)
        loss += main.item() * len(rows)
        correct += int((logits.argmax(1) == labels).sum())
    shown = sum(len(rows) for rows in batches)
    return loss / shown, correct / shown


def split_outputs(outputs: object, images: Images, recipe: Recipe) -> tuple[Tensor, Tensor | None]:
    """Logits and, if the recipe weighs them, auxiliary logits of a network in training mode.

    Raises:
        ValueError: if the recipe asks for an auxiliary head and the network has none, or if the
            logits are not one for each class.
    """
    logits, auxiliary = outputs if isinstance(outputs, tuple) else (outputs, None)
    if recipe.auxiliary == 0:
        return check_logits(logits, images), None
    if auxiliary is None:
        raise ValueError(
            f"auxiliary: expected 0 for a network without an auxiliary head, got "
            f"{recipe.auxiliary!r}; try 0, or a network that gives (logits, auxiliary logits) "
            f"in training mode"
        )
    return check_logits(logits, images), check_logits(auxiliary, images)


def losses(
    logits: Float[Tensor, "n k"],
    auxiliary: Float[Tensor, "n k"] | None,
    labels: Int64[Tensor, " n"],
    recipe: Recipe,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The loss of the main logits, and the objective that training descends.

    With the cross-entropy H, smoothed as the recipe says, the weight λ of the auxiliary head,
    logits f and auxiliary logits a:

        main = H(f, y)
        objective = H(f, y) + λ H(a, y)
    """
    main = cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
    if auxiliary is None:
        return main, main
    aside = cross_entropy(auxiliary, labels, label_smoothing=recipe.label_smoothing)
    return main, main + recipe.auxiliary * aside


def descend(setup: Setup, objective: Float[Tensor, ""], rate: float) -> None:
    """One step of the optimizer down the gradient g of the objective.

    With a clip c, it descends g min(1, c / |g|) instead; |g| is over all parameters together.
    """
    optimizer, scaler = setup.optimizer, setup.scaler
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad()
    scaler.scale(objective).backward()
    if setup.recipe.clip:
        scaler.unscale_(optimizer)
        clip_grad_norm_(setup.network.parameters(), setup.recipe.clip)
    scaler.step(optimizer)  # leaves the step out if float16 overflowed in the gradient
    scaler.update()
