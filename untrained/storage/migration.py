"""Bringing a store of an older schema up to date, by the scripts in `untrained.migrations`."""

from pathlib import Path

from sqlalchemy import Connection

from untrained.storage.schema import SCHEMA, schema


def migrate(connection: Connection, version: int) -> None:
    """From an older schema to the present one, in the transaction of the connection."""
    # Imported here, since hardly any store is an old one.
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    from untrained import migrations

    folder = Path(migrations.__file__).parent
    scripts = ScriptDirectory(folder, version_locations=[folder])
    newest_first = scripts.iterate_revisions("head", "base")
    with Operations.context(MigrationContext.configure(connection)):
        for script in reversed([*newest_first]):
            if int(script.revision) > version:
                script.module.upgrade()
    connection.execute(schema.update().values(version=SCHEMA))
