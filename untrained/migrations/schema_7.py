"""Drivers claim what they measure, so that several may share a store; and searches by a score
that ranks a few networks trained here, and within a time."""

import sqlalchemy as sa

from untrained.migrations import add_missing, make_missing

revision, down_revision = "7", "6"


def upgrade() -> None:
    """From schema 6."""
    make_missing(
        "drivers",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("machine", sa.String, nullable=False),
        sa.Column("lock", sa.String),
        sa.Column("until", sa.Float, nullable=False),
    )
    make_missing(
        "claims",
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("driver", sa.String, nullable=False),
    )
    add_missing("runs", sa.Column("calibrated", sa.JSON), sa.Column("budgeted", sa.JSON))
