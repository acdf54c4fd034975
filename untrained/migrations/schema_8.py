"""Asynchronous searches: trials say which results they were proposed from, and what is being
measured is kept."""

import sqlalchemy as sa

from untrained.migrations import add_missing, make_missing

revision, down_revision = "8", "7"


def upgrade() -> None:
    """From schema 7."""
    add_missing("trials", sa.Column("seen", sa.Integer))
    make_missing(
        "pending",
        sa.Column("run", sa.String, primary_key=True),
        sa.Column("batch", sa.Integer, primary_key=True),
        sa.Column("architecture", sa.String, nullable=False),
        sa.Column("draws", sa.JSON, nullable=False),
        sa.Column("role", sa.String),
        sa.Column("note", sa.String, nullable=False),
        sa.Column("epochs", sa.Integer),
        sa.Column("measurements", sa.JSON, nullable=False),
        sa.Column("seen", sa.Integer),
    )
