from .config import RunConfig as RunConfig
from .driver import run as run
from .folder import RunFolder as RunFolder
from .record import RunRecord as RunRecord
from .record import load_record as load_record
from .session import Progress as Progress
from .trial_record import Reading as Reading
from .trial_record import TrialRecord as TrialRecord
