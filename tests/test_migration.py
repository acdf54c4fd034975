"""Stores of older schemas: read as they are, reported, and brought up to date when resumed."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect
from stored import RUN, measured, said, tried, url_of

from untrained.pages.stored import report_run
from untrained.runs import RunConfig, load_record, run
from untrained.storage import RunFolder
from untrained.storage.address import Address
from untrained.storage.schema import SCHEMA
from untrained.storage.store import Store
from untrained.training import TrainingSpec

SPEC = TrainingSpec(recipe="default", epochs=1, images=64)
COLUMNS = {"runs": {"selected": "pick"}, "trainings": {"reason": "failure"}}
"Table -> today's columns by their names in schema 3."
SETTINGS = {
    "preset": "settings",
    "score_settings": "instruments",
    "short_training": "schooling",
    "proposals": "batch",
}
"Fields of a configuration by their names in schema 3."
LATER = {
    "trials": ("epochs", "seen"),
    "runs": ("counts", "ended", "search", "limited", "calibrated", "budgeted"),
    "measurements": ("bound_kind", "bound_amount"),
}
"Columns that came after schema 1."


def asked(out: Path, train: bool) -> RunConfig:
    """A climb, of which the searcher reads where it starts."""
    return RunConfig(
        searcher="local", options={"evaluations": 4}, scores=("parameters", "macs"), draws=1,
        score_settings={"macs": {"scale": "small"}}, proposals=2, train=train, compare=1,
        scale="small", training=SPEC, workers=0, out=out,
    )  # fmt: skip


def third(connection: sqlite3.Connection) -> None:
    """Back to schema 3: its names, and roles in notes alone."""
    for table, columns in COLUMNS.items():
        for now, before in columns.items():
            connection.execute(f"alter table {table} rename column {now} to {before}")
    connection.execute("update trained set role = 'pick' where role = 'selected'")
    connection.execute("alter table trials drop column role")
    for name, text in connection.execute("select id, config from runs").fetchall():
        config = {SETTINGS.get(key, key): value for key, value in json.loads(text).items()}
        whole = config.pop("training")
        config |= {"training": whole.pop("recipe"), "recipe": whole}
        connection.execute("update runs set config = ? where id = ?", (json.dumps(config), name))
    connection.execute("update schema set version = 3")


def first(connection: sqlite3.Connection) -> None:
    """Back to schema 1, without the columns that later ones brought."""
    for table, columns in LATER.items():
        for column in columns:
            connection.execute(f"alter table {table} drop column {column}")
    connection.execute("update schema set version = 1")


def rows(store: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(store) as connection:
        found = connection.execute(query).fetchall()
    connection.close()
    return found


def facts(folder: RunFolder) -> list[Any]:
    record = load_record(folder.store, folder.name)
    return [record.config, record.selected, record.trials, record.trainings]


@pytest.mark.usefixtures("without_graphs")
@pytest.mark.parametrize("version", [3, 1])
def test_an_older_store_is_read_reported_and_resumed(version: int, tmp_path: Path) -> None:
    """In the first schema, a search and its trainings were one run."""
    config = asked(tmp_path, train=version == 3)
    folder = run(config)
    expected = facts(folder)
    assert [trial.role for trial in expected[2]].count("start") > 0
    measured = rows(folder.store, "select * from measurements")
    with sqlite3.connect(folder.store) as connection:
        third(connection)
        if version == 1:
            first(connection)
    connection.close()
    before = folder.store.read_bytes()
    found = facts(folder)
    assert found[1:] == expected[1:]
    for name in ("preset", "score_settings", "proposals", "searcher", "scores", "options"):
        assert found[0][name] == expected[0][name]
    spec = TrainingSpec(**found[0]["training"])
    assert (spec.recipe, spec.images, spec.epochs) == ("default", SPEC.images, SPEC.epochs)
    assert expected[1] in report_run(folder).read_text(encoding="utf-8")
    assert folder.store.read_bytes() == before  # all of this reads
    assert run(config) == folder
    assert facts(folder) == expected
    assert rows(folder.store, "select * from measurements") == measured
    assert rows(folder.store, "select version from schema") == [(SCHEMA,)]


# Every schema, in a file and on a server

BACK = {
    8: ["drop table commits"],
    7: ["alter table trials drop column seen", "drop table pending"],
    6: [
        *(f"alter table runs drop column {c}" for c in ("calibrated", "budgeted")),
        "drop table drivers",
        "drop table claims",
    ],
    5: ["alter table runs drop column limited"],
    4: ["alter table runs drop column shrunk"],
    3: [
        "alter table runs rename column selected to pick",
        "alter table trainings rename column reason to failure",
        "alter table trials drop column role",
        "update trained set role = 'pick' where role = 'selected'",
    ],
    2: [
        *(f"alter table runs drop column {c}" for c in ("search", "meanings", "counts", "ended")),
        *(f"alter table measurements drop column bound_{c}" for c in ("kind", "amount")),
    ],
    1: ["alter table trials drop column epochs"],
}
"Schema -> what undoes the one after it."


@pytest.mark.parametrize("version", range(1, SCHEMA))
def test_every_schema_becomes_the_present_one(version: int, address: Address) -> None:
    """The tables are those of a new store, and hold what they held."""
    with Store.open(address) as store:
        store.begin_run("s", {**RUN, "search": None})
        store.set_selected("s", "a1")
        store.add_measurements([measured("k")])
        store.add_trials([{**tried(0, 0, "k"), "note": "parent", "role": "parent"}])
        named = {"position": 0, "role": "selected", "architecture": "a1"}
        store.begin_training("s", named, {"key": "t", "question": {}})
        store.update_training("t", [], {"reason": "diverged"})
        expected = store.trials("s"), store.trainings("s")
        row = store.run("first")
    new = tables_of(address)
    for before in range(SCHEMA - 1, version - 1, -1):
        for statement in BACK.get(before, []):
            said(address, statement)
    said(address, "update schema set version = :version", version=version)
    assert tables_of(address) != new
    if isinstance(address, str):  # of a file, a copy is read
        with pytest.raises(ValueError, match="older version"), Store.reading(address):
            pass
    with Store.open(address) as store:
        assert (store.trials("s"), store.trainings("s")) == expected
        found = store.run("first")
    assert tables_of(address) == new
    if version < 3:  # which did not keep these
        row |= {"meanings": None, "counts": None, "ended": None}
    assert found == row
    assert list(map(tuple, said(address, "select version from schema"))) == [(SCHEMA,)]


def tables_of(address: Address) -> dict[str, dict[str, str]]:
    """Table -> column -> its type."""
    engine = create_engine(url_of(address))
    try:
        found = inspect(engine)
        return {
            table: {column["name"]: str(column["type"]) for column in found.get_columns(table)}
            for table in found.get_table_names()
        }
    finally:
        engine.dispose()
