from .structured import structured as structured
from .survey import Survey as Survey
from .survey import survey as survey
