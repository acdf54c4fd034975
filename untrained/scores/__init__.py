"""Scores: a network, a probe and a generator in, one number or a reason out.

A new score is a file with a frozen dataclass and a line in `SCORES`; the contract test enrols it.
"""

from untrained.images.probe import ProbeSpec
from untrained.plugins import find
from untrained.scores.activation_codes import NASWOT, SWAP, RegularisedSWAP
from untrained.scores.az_nas import Expressivity, Progressivity, Trainability
from untrained.scores.condition_number import ConditionNumber
from untrained.scores.data_jacobian import EPENAS, JacobianCovariance
from untrained.scores.dextr import Dextr
from untrained.scores.feature_maps import MeCo, MeCoOpt
from untrained.scores.kernel import (
    CentredLabelAlignment,
    KernelMean,
    KernelNorm,
    KernelTrace,
    LabelAlignment,
    NormalisedLabelAlignment,
)
from untrained.scores.latency import Latency
from untrained.scores.linear_regions import LinearRegions
from untrained.scores.nngp import (
    NNGPAccuracy,
    NNGPLeaveOneOut,
    NNGPLogMarginalLikelihood,
    NNGPNegativeLogLikelihood,
    NNGPPublishedAccuracy,
    NNGPSquaredError,
)
from untrained.scores.score import Reading, Score, View, ViewScore
from untrained.scores.size import MultiplyAdds, Parameters, TrainableLayers
from untrained.scores.trained import (
    TrainingAccuracy,
    TrainingLoss,
    ValidationAccuracy,
    ValidationLoss,
)
from untrained.scores.vkdnw import VKDNW, ReleasedVKDNW, VKDNWSingle
from untrained.scores.zen import ReleasedZen, Zen

__all__ = ["SCORES", "ProbeSpec", "Reading", "Score", "View", "ViewScore", "get_score"]

SCORES: dict[str, type[Score]] = {
    "condition_number": ConditionNumber,
    "linear_regions": LinearRegions,
    "label_alignment": LabelAlignment,
    "label_alignment_normalised": NormalisedLabelAlignment,
    "label_alignment_centred": CentredLabelAlignment,
    "ntk_norm": KernelNorm,
    "ntk_mean": KernelMean,
    "ntk_trace": KernelTrace,
    "nngp_likelihood": NNGPLogMarginalLikelihood,
    "nngp_published": NNGPPublishedAccuracy,
    "nngp_accuracy": NNGPAccuracy,
    "nngp_squared_error": NNGPSquaredError,
    "nngp_nll": NNGPNegativeLogLikelihood,
    "nngp_leave_one_out": NNGPLeaveOneOut,
    "validation_accuracy": ValidationAccuracy,
    "validation_loss": ValidationLoss,
    "training_accuracy": TrainingAccuracy,
    "training_loss": TrainingLoss,
    "parameters": Parameters,
    "macs": MultiplyAdds,
    "trainable_layers": TrainableLayers,
    "latency": Latency,
    "naswot": NASWOT,
    "swap": SWAP,
    "swap_regularised": RegularisedSWAP,
    "jacob_cov": JacobianCovariance,
    "epe_nas": EPENAS,
    "zen": Zen,
    "meco": MeCo,
    "meco_opt": MeCoOpt,
    "az_expressivity": Expressivity,
    "az_progressivity": Progressivity,
    "az_trainability": Trainability,
    "vkdnw": VKDNW,
    "vkdnw_single": VKDNWSingle,
    "dextr": Dextr,
    # As published code computes it, where that is not the formula.
    "zennas:zen": ReleasedZen,
    "vkdnw:vkdnw": ReleasedVKDNW,
}


def get_score(name: str) -> type[Score]:
    """The score of this name, or the class at `package.module:name`."""
    return find("score", name, SCORES, Score)
