from .config import RunConfig as RunConfig
from .driver import run as run
from .record import RunRecord as RunRecord
from .record import load_record as load_record
from .session import Progress as Progress
