"""One vocabulary: columns, roles and settings by the names that they have today."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from untrained.migrations import add_missing, columns_of

revision, down_revision = "4", "3"

COLUMNS = {"runs": {"pick": "selected"}, "trainings": {"failure": "reason"}}
"Table -> its columns by what they are called now."
SETTINGS = {
    "settings": "preset",
    "instruments": "score_settings",
    "schooling": "short_training",
    "batch": "proposals",
}
ROLES = ("parent", "start")
"What a searcher reads, which stood in the note."

runs = sa.table("runs", sa.column("id", sa.String), sa.column("config", sa.JSON))
trials = sa.table("trials", sa.column("note", sa.String), sa.column("role", sa.String))
trained = sa.table("trained", sa.column("role", sa.String))


def upgrade() -> None:
    """From schema 3."""
    for table, columns in COLUMNS.items():
        there = columns_of(table)
        for old, new in columns.items():
            if old in there and new not in there:
                op.alter_column(table, old, new_column_name=new)
    add_missing("trials", sa.Column("role", sa.String))
    op.execute(trained.update().where(trained.c.role == "pick").values(role="selected"))
    for role in ROLES:
        noted = trials.update().where(trials.c.note == role, trials.c.role.is_(None))
        op.execute(noted.values(role=role))
    connection = op.get_bind()
    for name, config in connection.execute(sa.select(runs)).all():
        renamed = runs.update().where(runs.c.id == name).values(config=_renamed(config))
        connection.execute(renamed)


def _renamed(config: Any) -> Any:
    """What a run was asked, in the words of this version; anything else as it is."""
    if not isinstance(config, Mapping):
        return config
    found = {SETTINGS.get(name, name): value for name, value in config.items()}
    if isinstance(recipe := found.pop("recipe", None), Mapping):
        found["training"] = {"recipe": found.get("training"), **recipe}
    return found
