"""A search among networks within limits."""

import sqlalchemy as sa

from untrained.migrations import add_missing

revision, down_revision = "6", "5"


def upgrade() -> None:
    """From schema 5."""
    add_missing("runs", sa.Column("limited", sa.JSON))
