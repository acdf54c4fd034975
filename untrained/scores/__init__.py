"""Scores: a network, a probe and a generator in, one number or a reason out.

A new score is a file with a frozen dataclass and a line in `SCORES`; the contract test enrols it.
"""

from untrained.images.probe import ProbeSpec
from untrained.plugins import find
from untrained.scores.activation_codes import NASWOT, SWAP, RegularisedSWAP
from untrained.scores.az_nas import Expressivity, Progressivity, Trainability
from untrained.scores.condition_number import ConditionNumber, ReleasedConditionNumber
from untrained.scores.connectivity import EffectiveDepth, EffectiveWidth
from untrained.scores.contrastive import ContrastiveAlignment
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
from untrained.scores.independent_channels import IndependentChannels
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
from untrained.scores.linear_probe import LinearProbe
from untrained.scores.linear_regions import LinearRegions
from untrained.scores.memory import InferenceMemory, TrainingMemory
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
    # of the NTK
    "condition_number": ConditionNumber,
    "pseudo_ntk": PseudoNTK,
    "ntk_effective_rank": EffectiveRank,
    "ntk_decay": SpectralDecay,
    "ntk_norm": KernelNorm,
    "ntk_mean": KernelMean,
    "ntk_trace": KernelTrace,
    "rntk_variance": RandomNTKVariance,
    # of the NTK and the labels
    "label_alignment": LabelAlignment,
    "label_alignment_normalised": NormalisedLabelAlignment,
    "label_alignment_centred": CentredLabelAlignment,
    "ntk_target_alignment": TargetAlignment,
    "ntk_source": SourceExponent,
    "ntk_likelihood": NTKLogMarginalLikelihood,
    "ntk_regression_error": NTKRegressionError,
    "ntk_label_complexity": LabelComplexity,
    "lpntk_contrast": LabelledContrast,
    "laplace_evidence": LaplaceEvidence,
    # of the NNGP and the labels
    "nngp_likelihood": NNGPLogMarginalLikelihood,
    "nngp_published": NNGPPublishedAccuracy,
    "nngp_accuracy": NNGPAccuracy,
    "nngp_squared_error": NNGPSquaredError,
    "nngp_nll": NNGPNegativeLogLikelihood,
    "nngp_leave_one_out": NNGPLeaveOneOut,
    # of the gradient of the loss of a batch
    "plain": Plain,
    "snip": SNIP,
    "grad_norm": GradientNorm,
    "fisher": Fisher,
    "grasp": GraSP,
    "nasi": NASI,
    # of such gradients, example by example or batch by batch
    "knas": KNAS,
    "gradsign": GradSign,
    "zico": ZiCo,
    "xi_gsnr": GradientSignalToNoise,
    # of the weights
    "synflow": SynFlow,
    "synflow_bn": SynFlowWithBatchNorm,
    "l2_norm": WeightNorm,
    "vkdnw": VKDNW,
    "vkdnw_single": VKDNWSingle,
    # of activation patterns
    "linear_regions": LinearRegions,
    "naswot": NASWOT,
    "swap": SWAP,
    "swap_regularised": RegularisedSWAP,
    # of features and outputs, and how they change with the input
    "zen": Zen,
    "meco": MeCo,
    "meco_opt": MeCoOpt,
    "dextr": Dextr,
    "independent_channels": IndependentChannels,
    "az_expressivity": Expressivity,
    "az_progressivity": Progressivity,
    "az_trainability": Trainability,
    "jacob_cov": JacobianCovariance,
    "epe_nas": EPENAS,
    "contrastive_alignment": ContrastiveAlignment,
    "linear_probe": LinearProbe,
    # after a little training
    "validation_accuracy": ValidationAccuracy,
    "validation_loss": ValidationLoss,
    "training_accuracy": TrainingAccuracy,
    "training_loss": TrainingLoss,
    # of size and speed
    "parameters": Parameters,
    "macs": MultiplyAdds,
    "trainable_layers": TrainableLayers,
    "memory": InferenceMemory,
    "training_memory": TrainingMemory,
    "latency": Latency,
    # of the graph of a cell
    "effective_depth": EffectiveDepth,
    "effective_width": EffectiveWidth,
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
