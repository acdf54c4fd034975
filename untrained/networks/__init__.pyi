from .arguments import Selection as Selection
from .choices import Policy as Policy
from .features import Features as Features
from .features import features as features
from .readout import Output as Output
from .readout import random_readout as random_readout
from .weights import draw_weights as draw_weights
from .weights import ntk_parametrisation as ntk_parametrisation
