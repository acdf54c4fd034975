"""Scores: a network, a probe and a generator in, one number or a reason out.

A new score is a file with a frozen dataclass and a line in `SCORES`; the contract test enrols it.
"""

from untrained.images.probe import ProbeSpec
from untrained.plugins import find
from untrained.scores.activation_codes import NASWOT, SWAP, RegularisedSWAP
from untrained.scores.az_nas import Expressivity, Progressivity, Trainability
from untrained.scores.condition_number import ConditionNumber, ReleasedConditionNumber
from untrained.scores.data_jacobian import EPENAS, JacobianCovariance
from untrained.scores.dextr import Dextr
from untrained.scores.example_gradients import KNAS, GradSign, LabelledContrast
from untrained.scores.feature_maps import MeCo, MeCoOpt
from untrained.scores.gradient_noise import (
    GradientSignalToNoise,
    ReleasedKNAS,
    ReleasedSignalToNoise,
    ReleasedZiCo,
    ZiCo,
)
from untrained.scores.grasp import GraSP
from untrained.scores.kernel import (
    CentredLabelAlignment,
    KernelMean,
    KernelNorm,
    KernelTrace,
    LabelAlignment,
    NormalisedLabelAlignment,
)
from untrained.scores.laplace import LaplaceEvidence
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
from untrained.scores.ntk_regression import (
    LabelComplexity,
    NTKLogMarginalLikelihood,
    NTKRegressionError,
    ReleasedRegressionError,
)
from untrained.scores.ntk_spectrum import (
    EffectiveRank,
    PseudoNTK,
    SourceExponent,
    SpectralDecay,
    TargetAlignment,
)
from untrained.scores.random_ntk import RandomNTKVariance
from untrained.scores.score import Reading, Score, View, ViewScore
from untrained.scores.sensitivity import (
    NASI,
    SNIP,
    Fisher,
    GradientNorm,
    Plain,
    ReleasedFisher,
    ReleasedGradientNorm,
)
from untrained.scores.size import MultiplyAdds, Parameters, TrainableLayers
from untrained.scores.synflow import SynFlow, SynFlowWithBatchNorm
from untrained.scores.trained import (
    TrainingAccuracy,
    TrainingLoss,
    ValidationAccuracy,
    ValidationLoss,
)
from untrained.scores.vkdnw import VKDNW, ReleasedVKDNW, VKDNWSingle
from untrained.scores.weight_norm import WeightNorm
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
    "ntk_likelihood": NTKLogMarginalLikelihood,
    "ntk_regression_error": NTKRegressionError,
    "ntk_label_complexity": LabelComplexity,
    "ntk_target_alignment": TargetAlignment,
    "ntk_effective_rank": EffectiveRank,
    "ntk_decay": SpectralDecay,
    "ntk_source": SourceExponent,
    "pseudo_ntk": PseudoNTK,
    "lpntk_contrast": LabelledContrast,
    "rntk_variance": RandomNTKVariance,
    "laplace_evidence": LaplaceEvidence,
    "plain": Plain,
    "snip": SNIP,
    "grad_norm": GradientNorm,
    "fisher": Fisher,
    "grasp": GraSP,
    "synflow": SynFlow,
    "synflow_bn": SynFlowWithBatchNorm,
    "l2_norm": WeightNorm,
    "nasi": NASI,
    "knas": KNAS,
    "gradsign": GradSign,
    "zico": ZiCo,
    "xi_gsnr": GradientSignalToNoise,
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
    # what published code computes, where that is not the formula
    "foresight:fisher": ReleasedFisher,
    "foresight:grad_norm": ReleasedGradientNorm,
    "knas:mgm": ReleasedKNAS,
    "tegnas:mse": ReleasedRegressionError,
    "tenas:condition_number": ReleasedConditionNumber,
    "xigsnr:xi_gsnr": ReleasedSignalToNoise,
    "vkdnw:vkdnw": ReleasedVKDNW,
    "zennas:zen": ReleasedZen,
    "zico:zico": ReleasedZiCo,
}


def get_score(name: str) -> type[Score]:
    """The score of this name, or the class at `package.module:name`."""
    return find("score", name, SCORES, Score)
