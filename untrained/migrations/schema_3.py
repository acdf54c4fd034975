"""Runs share a search, say how it ended and what scores mean; what ran out is kept apart."""

import sqlalchemy as sa

from untrained.migrations import add_missing

revision, down_revision = "3", "2"


def upgrade() -> None:
    """From schema 2."""
    add_missing(
        "runs",
        sa.Column("search", sa.String),
        sa.Column("meanings", sa.JSON),
        sa.Column("counts", sa.JSON),
        sa.Column("ended", sa.Float),
    )
    add_missing(
        "measurements", sa.Column("bound_kind", sa.String), sa.Column("bound_amount", sa.Float)
    )
    add_missing("trained", sa.Column("architecture", sa.String))
