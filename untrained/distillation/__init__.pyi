from .distilled import Distilled as Distilled
from .distilled import distill as distill
from .random_features import RandomFeatures as RandomFeatures
