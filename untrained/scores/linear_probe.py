"""What a linear classifier reads off a network's features."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from untrained.images.probe import Probe, ProbeSpec
from untrained.networks.features import features
from untrained.scores.score import Reading, Score


@dataclass(frozen=True)
class LinearProbe(Score):
    """Accuracy of logistic regression on the features that the network gives to its readout.

    It is cross-validated: each image is classified by a regression on the other folds, whose
    features are standardised. Of a network that has learnt, it says how well its features
    transfer; of one with random weights, what these alone are worth.

    Source: Alain & Bengio, "Understanding intermediate layers using linear classifier probes",
    2016, https://arxiv.org/abs/1610.01644, at the last layer alone.
    """

    meaning: ClassVar = (
        "Share of images that logistic regression on the network's last features classifies "
        "correctly, cross-validated."
    )
    higher_is_better: ClassVar = True
    folds: int = 5
    "Parts of the probe, each classified by a regression on the others."
    inverse_ridge: float = 1.0
    "C of the regression, the inverse strength of its ridge."

    network: ClassVar = "narrow"
    probe: ClassVar = ProbeSpec(1000, at_most=True)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        from sklearn.exceptions import ConvergenceWarning  # here, as importing it takes a second
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import StratifiedKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        y = probe.labels.cpu()
        fewest = int(y.unique(return_counts=True)[1].min())
        if not 2 <= self.folds <= fewest or len(y.unique()) < 2:
            return Reading(
                None,
                f"expected two folds or more, two classes or more, and an image of each for every "
                f"fold, got {self.folds} folds and {fewest} images of the smallest of "
                f"{len(y.unique())} classes; set count or folds",
            )
        z = features(network, probe.inputs, chunk=100).z.double().cpu()
        if not z.isfinite().all():
            return Reading(None, "the features are NaN or infinite: a pass overflowed")
        seed = int(torch.randint(2**31, (), generator=generator))
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=self.inverse_ridge, max_iter=1000)
        )
        splits = StratifiedKFold(self.folds, shuffle=True, random_state=seed)
        with warnings.catch_warnings():
            # Where it has not converged, what it predicts is what counts all the same.
            warnings.simplefilter("ignore", ConvergenceWarning)
            predicted = cross_val_predict(model, z.numpy(), y.numpy(), cv=splits)
        return Reading(float((predicted == y.numpy()).mean()))
