from .folder import RunFolder as RunFolder
from .store import Store as Store
from .trial_record import Reading as Reading
from .trial_record import TrialRecord as TrialRecord
