"""One Alembic script for each schema of the store after the first: what it changed.

The scripts are for both back-ends, and say in their own words what tables are like, whatever
became of them later. The table `schema` holds the number that a store has come to, since older
versions of this library read it there. New stores are made from `storage.schema` at once.
"""

import sqlalchemy as sa
from alembic import op


def add_missing(table: str, *columns: sa.Column[object]) -> None:
    """Adds those of the columns that the table lacks; a few early stores were ahead of their
    number."""
    there = columns_of(table)
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)


def make_missing(table: str, *columns: sa.Column[object]) -> None:
    """Makes the table where there is none."""
    if not sa.inspect(op.get_bind()).has_table(table):
        op.create_table(table, *columns)


def columns_of(table: str) -> set[str]:
    """The names of its columns."""
    return {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
