from .finding import Finding as Finding
from .inspection import Inspection as Inspection
from .inspection import inspect as inspect
