"""Classes with unequal numbers of training images: how unequal, and how much each weighs."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from untrained.images.dataset import Images


def class_weights(
    labels: Int64[Tensor, " n"], classes: int, balance: float
) -> Float[Tensor, " classes"]:
    """Weight of each class in the loss, 1 on average over the images.

    With n_k images of class k, n in all, and the balance β:

        w_k = n n_k^-β / Σ_j n_j n_j^-β

    A class without images has the weight 0: none is shown.

    Args:
        labels: of the training images.
        classes: how many there are.
        balance: β; 0 gives 1 everywhere, 1 gives every class the same sum of weights.

    Example:
        >>> labels = torch.tensor([0, 0, 0, 1])
        >>> class_weights(labels, 2, 0.0).tolist()
        [1.0, 1.0]
        >>> [round(w, 3) for w in class_weights(labels, 2, 1.0).tolist()]
        [0.667, 2.0]
    """
    n_k = torch.bincount(labels, minlength=classes).double()
    w_k = torch.where(n_k > 0, n_k.clamp(min=1) ** -balance, 0.0)
    return (n_k.sum() * w_k / (n_k * w_k).sum()).float()


def imbalance(images: Images) -> float:
    """How many times as many training images the largest class has as the smallest that has any.

    Example:
        >>> from untrained.images import load_images
        >>> round(imbalance(load_images("digits")), 1)
        1.1
    """
    n_k = torch.bincount(images.train.labels)
    return (n_k.max() / n_k[n_k > 0].min()).item()
