"""Images distilled for kernel regression, by gradient descent on the images themselves.

    prediction   f(x) = K(x, S) (K(S, S) + eps tr K(S, S) / s I)^-1 Y
    loss         1/2 |f(x) - y|^2, mean over a batch of training images, one-hot y minus 1 / K

over the s images S, the support, and their targets Y, which are learnt too. At first they are
training images drawn by class.

Source: Nguyen, Chen & Lee, "Dataset Meta-Learning from Kernel Ridge-Regression", ICLR 2021,
https://arxiv.org/abs/2011.00050 (kernel inducing points), whose images are whitened and whose
batches augmented; with the kernel of `RandomFeatures`, Loo et al., NeurIPS 2022,
https://arxiv.org/abs/2210.12067, whose loss is another.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from untrained.analysis.regression import centred_one_hot
from untrained.images import Images, Labelled
from untrained.settings import check_range

OfImages = Callable[[Tensor, Tensor], Tensor]
"A kernel (n, m) of two batches of images, (n, c, h, w) and (m, c, h, w), with gradients to both."


@dataclass(frozen=True)
class Distilled:
    """A support, and kernel regression on it."""

    kernel: OfImages
    inputs: Float64[Tensor, "s c h w"]
    "S, normalised as the images that it is made of."
    targets: Float64[Tensor, "s k"]
    "Y."
    classes: tuple[str, ...]
    losses: tuple[float, ...] = field(repr=False)
    "Of each step, on its batch."
    ridge: float = 1e-6
    "eps."

    def predict(self, x: Float[Tensor, "n c h w"]) -> Float64[Tensor, "n k"]:
        """f of normalised images."""
        return regress(self.kernel, x, self.inputs, self.targets, self.ridge)

    @torch.no_grad()
    def accuracy(self, split: Labelled, images: Images, chunk: int = 500) -> float:
        """Share of a split's images that regression on the support classifies correctly."""
        right = 0
        for rows in torch.arange(len(split)).split(chunk):
            found = self.predict(images.normalise(split.at(rows))).argmax(1)
            right += int((found == split.labels[rows]).sum())
        return right / len(split)

    def pixels(self, images: Images) -> UInt8[Tensor, "s c h w"]:
        """S as pictures, from 0 to 255; what lies beyond is cut."""
        mean, std = images.mean[:, None, None], images.std[:, None, None]
        return (255 * (self.inputs * std + mean)).round().clamp(0, 255).to(torch.uint8)


def distill(
    images: Images,
    kernel: OfImages,
    *,
    generator: torch.Generator,
    per_class: int = 10,
    steps: int = 500,
    batch: int = 500,
    rate: float = 0.01,
    ridge: float = 1e-6,
    learn_targets: bool = True,
    on_step: Callable[[int, float], None] | None = None,
) -> Distilled:
    """Makes a few images of each class, on which regression does well on all others.

    Args:
        images: of which the training images are learnt from.
        kernel: of two batches, such as `lambda a, b: infinite(net)(a, b).ntk`.
        generator: of the first images and of the batches.
        per_class: images of each class.
        steps: of Adam; with none, the support is random training images.
        batch: training images in a step.
        rate: learning rate, in units of normalised pixels.
        ridge: eps.
        learn_targets: whether Y is learnt, or stays what the first images' classes say.
        on_step: called with each step's number and loss.

    Raises:
        ValueError: a class with fewer training images, or numbers that make no sense.

    Example:
        >>> from torch import nn
        >>> from untrained import infinite, load_images
        >>> kernel = infinite(nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.ReLU(),
        ...                                 nn.Linear(1, 1)))
        >>> digits, generator = load_images("digits"), torch.Generator().manual_seed(0)
        >>> made = distill(digits, lambda a, b: kernel(a, b).ntk, generator=generator,
        ...                per_class=1, steps=50, batch=100, rate=0.05)
        >>> made.accuracy(digits.test, digits) > 0.8
        True
    """
    check_range("per_class", per_class, 1)
    check_range("steps", steps, 0)
    check_range("batch", batch, 1)
    rows = _drawn_by_class(images, per_class, generator)
    k = len(images.classes)
    x = images.normalise(images.train.at(rows)).double().requires_grad_(steps > 0)
    y = centred_one_hot(images.train.labels[rows], k).requires_grad_(learn_targets and steps > 0)
    learnt = [x, y] if learn_targets else [x]
    adam, losses = torch.optim.Adam(learnt, rate) if steps else None, list[float]()
    for step in range(steps):
        assert adam is not None
        chosen = torch.randint(len(images.train), (batch,), generator=generator)
        shown = images.normalise(images.train.at(chosen)).double()
        wanted = centred_one_hot(images.train.labels[chosen], k)
        loss = (regress(kernel, shown, x, y, ridge) - wanted).square().sum(1).mean() / 2
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
        if on_step is not None:
            on_step(step, losses[-1])
    return Distilled(kernel, x.detach(), y.detach(), images.classes, tuple(losses), ridge)


def regress(
    kernel: OfImages, x: Tensor, support: Tensor, targets: Tensor, ridge: float
) -> Float64[Tensor, "n k"]:
    """f(x) = K(x, S) (K(S, S) + eps tr K(S, S) / s I)^-1 Y."""
    both = kernel(torch.cat([x.double(), support]), support).double()
    across, own = both[: len(x)], both[len(x) :]
    own = (own + own.T) / 2
    noise = ridge * own.diagonal().mean() * torch.eye(len(own), dtype=own.dtype)
    solved: Tensor = torch.linalg.solve(own + noise, targets)
    return across @ solved


def _drawn_by_class(images: Images, per_class: int, generator: torch.Generator) -> Tensor:
    found = []
    for number, name in enumerate(images.classes):
        rows = (images.train.labels == number).nonzero()[:, 0]
        if len(rows) < per_class:
            raise ValueError(
                f"per_class: expected at most {len(rows)}, the training images of class {name!r}, "
                f"got {per_class!r}"
            )
        found.append(rows[torch.randperm(len(rows), generator=generator)[:per_class]])
    return torch.cat(found)
