"""Runs: propose, build, train a little, score, store; resumed after any interruption."""

from untrained.runs.config import RunConfig
from untrained.runs.folder import RunFolder
from untrained.runs.record import RunRecord, load_record
from untrained.runs.run import Progress, run

__all__ = ["Progress", "RunConfig", "RunFolder", "RunRecord", "load_record", "run"]
