"""Bringing a store of an older schema up to date: columns added, and what was renamed."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, inspect, select

from untrained.runs.schema import SCHEMA, metadata, runs, schema, trained, trials

RENAMED_COLUMNS = {"runs": {"pick": "selected"}, "trainings": {"failure": "reason"}}
"Table -> columns of schema 3 and below by what they are called now."
RENAMED_SETTINGS = {
    "settings": "preset",
    "instruments": "score_settings",
    "schooling": "short_training",
    "batch": "proposals",
}
ROLES = ("parent", "start")
"What a searcher reads, which stood in the note."


def migrate(connection: Connection) -> None:
    """From any older schema to the present one, in the transaction of the connection."""
    for table, columns in RENAMED_COLUMNS.items():
        there = _columns(connection, table)
        for old, new in columns.items():
            if old in there and new not in there:
                connection.exec_driver_sql(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")
    _add_columns(connection)
    connection.execute(trained.update().where(trained.c.role == "pick").values(role="selected"))
    for role in ROLES:
        named = trials.update().where(trials.c.note == role, trials.c.role.is_(None))
        connection.execute(named.values(role=role))
    for run in connection.execute(select(runs.c.id, runs.c.config)).all():
        renamed = runs.update().where(runs.c.id == run.id).values(config=_renamed(run.config))
        connection.execute(renamed)
    connection.execute(schema.update().values(version=SCHEMA))


def _renamed(config: Any) -> Any:
    """What a run was asked, in the words of this version; anything else as it is."""
    if not isinstance(config, Mapping):
        return config
    found = {RENAMED_SETTINGS.get(name, name): value for name, value in config.items()}
    if isinstance(recipe := found.pop("recipe", None), Mapping):
        found["training"] = {"recipe": found.get("training"), **recipe}
    return found


def _columns(connection: Connection, table: str) -> set[str]:
    return {column["name"] for column in inspect(connection).get_columns(table)}


def _add_columns(connection: Connection) -> None:
    """All columns that came since may be NULL."""
    for table in metadata.tables.values():
        there = _columns(connection, table.name)
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.exec_driver_sql(
                    f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"
                )
