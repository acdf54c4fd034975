"""How a network is trained: every choice, as one frozen value."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum and a cosine schedule, for small images."""

    epochs: int = 20
    "Passes over the training images."
    batch: int = 64
    "Images a step."
    learning_rate: float = 0.1
    "Peak learning rate; rises linearly over the first epoch, then falls as a cosine to zero."
    momentum: float = 0.9
    "Nesterov momentum."
    weight_decay: float = 5e-4
    "L2 penalty on convolution and linear weights, not on biases and normalisation."
    label_smoothing: float = 0.0
    "Share of the target spread evenly over all classes."
    crop: bool = True
    "Random crop after zero padding by an eighth of the side."
    flip: bool | None = None
    "Random horizontal flip; None flips colour images only."
    cutout: int = 0
    "Side in pixels of a square set to the mean; 0 cuts nothing."
