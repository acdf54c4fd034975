"""A search within what a cheap score keeps of its space."""

import sqlalchemy as sa

from untrained.migrations import add_missing

revision, down_revision = "5", "4"


def upgrade() -> None:
    """From schema 4."""
    add_missing("runs", sa.Column("shrunk", sa.JSON))
