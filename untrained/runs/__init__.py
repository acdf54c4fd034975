"""Runs: propose, build, train a little, score, store; resumed after any interruption."""

from untrained.runs.config import RunConfig
from untrained.runs.driver import run
from untrained.runs.folder import RunFolder
from untrained.runs.record import RunRecord, load_record
from untrained.runs.session import Progress
from untrained.scores import Reading

__all__ = ["Progress", "Reading", "RunConfig", "RunFolder", "RunRecord", "load_record", "run"]
