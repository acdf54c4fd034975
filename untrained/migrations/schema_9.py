"""Transactions on a server are signed, so that one whose commit got no answer is known again."""

import sqlalchemy as sa

from untrained.migrations import make_missing

revision, down_revision = "9", "8"


def upgrade() -> None:
    """From schema 8."""
    make_missing(
        "commits",
        sa.Column("writer", sa.String, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
    )
