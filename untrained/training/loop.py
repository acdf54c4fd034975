"""Training, an epoch at a time."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training images gave."""

    number: int
    "From 1."
    learning_rate: float
    "At the last step of the epoch."
    train_loss: float
    "Mean cross-entropy over the epoch, under augmentation."
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    seconds: float
