"""Training: from a network and images to a trained network, and to files that outlive us.

`train` runs one recipe, yours or a published one of `RECIPES`, an epoch at a time, with the whole
state on disk after each, so that a training killed at any moment goes on bit for bit. `evaluate`
passes a split once. `export` writes the weights, a loader that needs torch and safetensors
alone, and an ONNX file, and checks each against the network. The subpackage works on any
`nn.Module` from normalised images to logits.
"""

from untrained.training.checkpoint import ShortTrained
from untrained.training.epoch import Epoch
from untrained.training.evaluation import Evaluation, evaluate
from untrained.training.export import Exported, export
from untrained.training.loop import Training, check_fits, train, train_short
from untrained.training.recipe import Recipe, TrainingSpec, learning_rate, steady
from untrained.training.recipes import RECIPES, get_recipe

__all__ = [
    "RECIPES",
    "Epoch",
    "Evaluation",
    "Exported",
    "Recipe",
    "ShortTrained",
    "Training",
    "TrainingSpec",
    "check_fits",
    "evaluate",
    "export",
    "get_recipe",
    "learning_rate",
    "steady",
    "train",
    "train_short",
]
