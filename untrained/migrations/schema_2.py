"""Successive halving: a trial says after how many epochs it was scored."""

import sqlalchemy as sa

from untrained.migrations import add_missing

revision, down_revision = "2", None


def upgrade() -> None:
    """From schema 1."""
    add_missing("trials", sa.Column("epochs", sa.Integer))
