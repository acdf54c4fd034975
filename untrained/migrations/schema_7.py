"""A search by the score that ranks a few networks trained here, and within a time."""

import sqlalchemy as sa

from untrained.migrations import add_missing

revision, down_revision = "7", "6"


def upgrade() -> None:
    """From schema 6."""
    add_missing("runs", sa.Column("calibrated", sa.JSON), sa.Column("budgeted", sa.JSON))
