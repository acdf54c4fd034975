"""The steps of one epoch: forward, loss, gradient, step."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from untrained.images.dataset import Images
from untrained.networks.layout import channels_last
from untrained.training.averaging import start_average
from untrained.training.balancing import class_weights
from untrained.training.batches import Shown, show
from untrained.training.checkpoint import Checkpoint, ShortTrained
from untrained.training.evaluation import check_logits
from untrained.training.recipe import Recipe

AUTOCAST = {"bfloat16": torch.bfloat16, "mixed": torch.float16}
"Precision of a recipe -> what most of the forward pass is computed in; float32 as it is."


@dataclass(frozen=True)
class Setup:
    """What a training works with from its first epoch to its last."""

    network: nn.Module
    "Trained in place, on `device`."
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    "Keeps float16 gradients from vanishing; switched off, it passes everything on unchanged."
    average: AveragedModel | None
    "Moving average of the network; None where the recipe asks for none."
    weights: Float[Tensor, " k"] | None
    "Of each class in the loss, on `device`; None where all weigh the same."
    images: Images
    recipe: Recipe
    seed: int
    device: str

    @property
    def judged(self) -> nn.Module:
        """The network that is evaluated and kept: the average, where there is one."""
        return self.network if self.average is None else self.average.module

    def state(self) -> dict[str, Any]:
        """Copies of all that changes in training, by the names that `Checkpoint` has for it."""
        average = {} if self.average is None else self.average.state_dict()
        return {
            "network": deepcopy(self.network.state_dict()),
            "optimizer": deepcopy(self.optimizer.state_dict()),
            "scaler": self.scaler.state_dict(),
            "average": deepcopy(average),
        }

    def restore(self, state: Checkpoint | ShortTrained) -> None:
        """Bring all of it to where it was."""
        self.network.load_state_dict(state.network)
        self.optimizer.load_state_dict(dict(state.optimizer))
        self.scaler.load_state_dict(dict(state.scaler))
        if self.average is not None:
            self.average.load_state_dict(state.average)


def set_up(network: nn.Module, images: Images, recipe: Recipe, seed: int, device: str) -> Setup:
    """Bring the network to the device, and give it a new optimizer, scaler and average."""
    network.to(device)
    if recipe.channels_last:
        channels_last(network, torch.zeros(1, *images.shape, device=device))
    weights = class_weights(images.train.labels, len(images.classes), recipe.balance)
    return Setup(
        network=network,
        optimizer=build_optimizer(network, recipe),
        scaler=torch.amp.GradScaler(
            torch.device(device).type, enabled=recipe.precision == "mixed"
        ),
        average=start_average(network, recipe.ema) if recipe.ema else None,
        weights=weights.to(device) if recipe.balance else None,
        images=images,
        recipe=recipe,
        seed=seed,
        device=device,
    )


def build_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW over the trainable parameters.

    Those with one dimension or none decay only if the recipe says that all do. AdamW's second
    moment has its usual decay of 0.999.
    """
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    flat_decay = recipe.weight_decay if recipe.decay_all else 0.0
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": recipe.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": flat_decay},
    ]
    if recipe.optimizer == "adamw":
        betas = recipe.momentum, 0.999
        return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=betas, fused=True)
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

    Both are those of the main logits; the auxiliary head has a part in the gradient alone. Where
    images are mixed, the class of the larger part is the right one.

    Raises:
        FloatingPointError: if a loss is not finite; it says at which step.
    """
    kind = torch.device(setup.device).type
    dtype = AUTOCAST.get(setup.recipe.precision)
    loss, correct = 0.0, 0
    setup.network.train()
    for step, (rows, rate) in enumerate(zip(batches, rates, strict=True), start=1):
        shown = show(setup.images, rows, setup.recipe, generator, setup.device)
        with torch.autocast(kind, dtype=dtype, enabled=dtype is not None):
            outputs = setup.network(shown.inputs)
            logits, auxiliary = split_outputs(outputs, setup.images, setup.recipe)
            main, objective = losses(logits, auxiliary, shown, setup.recipe, setup.weights)
        if not objective.isfinite():
            raise FloatingPointError(f"step {step} of {len(batches)}: the loss is not finite")
        descend(setup, objective, rate)
        loss += main.item() * len(rows)
        correct += int((logits.argmax(1) == shown.labels).sum())
    count = sum(len(rows) for rows in batches)
    return loss / count, correct / count


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
    shown: Shown,
    recipe: Recipe,
    weights: Float[Tensor, " k"] | None = None,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The loss of the main logits, and the objective that training descends.

    With the cross-entropy H, smoothed as the recipe says, labels y, of which a share s is of the
    images and the rest of those mixed into them, y'; the weight λ of the auxiliary head, logits f
    and auxiliary logits a:

        loss(f) = s H(f, y) + (1 - s) H(f, y')
        objective = loss(f) + λ loss(a)
    """
    main = _loss(logits, shown, recipe, weights)
    if auxiliary is None:
        return main, main
    return main, main + recipe.auxiliary * _loss(auxiliary, shown, recipe, weights)


def _loss(
    logits: Float[Tensor, "n k"],
    shown: Shown,
    recipe: Recipe,
    weights: Float[Tensor, " k"] | None,
) -> Float[Tensor, ""]:
    loss = partial(_cross_entropy, logits, smoothing=recipe.label_smoothing, weights=weights)
    if shown.mixed_in is None:
        return loss(shown.labels)
    return shown.share * loss(shown.labels) + (1 - shown.share) * loss(shown.mixed_in)


def _cross_entropy(
    logits: Float[Tensor, "n k"],
    labels: Int64[Tensor, " n"],
    smoothing: float,
    weights: Float[Tensor, " k"] | None,
) -> Float[Tensor, ""]:
    """The mean over the batch, each image times the weight of its class.

    torch's own weights divide by their sum over the batch, so that an image would count more or
    less with the images beside it.
    """
    if weights is None:
        return cross_entropy(logits, labels, label_smoothing=smoothing)
    each = cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    return (weights[labels] * each).mean()


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
    if setup.average is not None:
        setup.average.update_parameters(setup.network)
