"""What kernel regression on a labelled task says of a kernel, in single numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from untrained.analysis.blocks import Blocks
from untrained.analysis.regression import RIDGES, Regression, RidgeChoice, regression


@dataclass(frozen=True)
class Validation:
    """What a kernel says of a labelled task; None where `reason` says why."""

    published_accuracy: float | None
    """Best over the grid on the validation examples themselves, as published: optimistic, and in
    steps of 1 / m."""
    accuracy: float | None
    "On the validation examples, at the ridge chosen by the training examples; so the next ones."
    squared_error: float | None
    negative_log_likelihood: float | None
    "Of the Gaussian process, per example and class, in nats; None also without a prior."
    leave_one_out_accuracy: float | None
    log_marginal_likelihood: float | None
    "Of the training targets, per example and class, in nats."
    ridge: float | None
    "The chosen eps, in units of tr(K) / n."
    reason: str
    "Why there are no numbers; empty if there are."


def validate(
    blocks: Blocks,
    train_labels: Int[Tensor, " n"],
    validation_labels: Int[Tensor, " m"],
    *,
    classes: int | None = None,
    by: RidgeChoice = "leave_one_out",
    ridges: Sequence[float] = RIDGES,
) -> Validation:
    """Everything that kernel regression says of a kernel on a labelled task.

    Raises:
        ValueError: as `regression`.

    Source: Park et al., "Towards NNGP-guided Neural Architecture Search", 2020,
    https://arxiv.org/abs/2011.06006, and its published code, for `published_accuracy`; the
    code knows no other.

    Example:
        >>> import torch
        >>> from untrained.analysis.blocks import split
        >>> x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)).double()
        >>> labels = (x[:, 0] > 0).long()
        >>> found = validate(split(x @ x.T, 40), labels[:40], labels[40:])
        >>> found.published_accuracy >= found.accuracy > 0.8
        True
    """
    if classes is None:
        classes = int(torch.cat([train_labels, validation_labels]).max()) + 1
    fit = regression(
        blocks.train, train_labels, classes=classes, ridges=ridges, features=blocks.features
    )
    return validation_of(fit, blocks, validation_labels, by=by)


def validation_of(
    fit: Regression,
    blocks: Blocks,
    validation_labels: Int[Tensor, " m"],
    *,
    by: RidgeChoice = "leave_one_out",
) -> Validation:
    """What `validate` says, of a regression on `blocks` that is already there.

    Raises:
        ValueError: as `Regression.errors` and `Regression.best`.
    """
    if not len(fit.ridges):
        return Validation(None, None, None, None, None, None, None, fit.skipped[-1])
    found = fit.errors(blocks.validation, validation_labels, blocks.prior)
    inside, best = fit.leave_one_out, fit.best(by)

    def at_best(values: Tensor | None) -> float | None:
        return None if values is None else values[best].item()

    return Validation(
        published_accuracy=None if found.accuracy is None else found.accuracy.max().item(),
        accuracy=at_best(found.accuracy),
        squared_error=at_best(found.squared_error),
        negative_log_likelihood=at_best(found.negative_log_likelihood),
        leave_one_out_accuracy=at_best(inside.accuracy),
        log_marginal_likelihood=at_best(fit.log_marginal_likelihood / fit.targets.numel()),
        ridge=at_best(fit.ridges),
        reason="",
    )
