"""What each epoch of a training gave, and which was best."""

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
    "Of training and validation."


def best_epoch(epochs: tuple[Epoch, ...]) -> int | None:
    """Number of the epoch with the best validation accuracy, the earliest among equals."""
    if not epochs:
        return None
    return max(epochs, key=lambda epoch: (epoch.validation_accuracy, -epoch.number)).number
