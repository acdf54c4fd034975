from .infinite import Infinite as Infinite
from .infinite import Limit as Limit
from .infinite import WideFeatures as WideFeatures
from .infinite import infinite as infinite
