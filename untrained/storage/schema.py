"""The store's tables."""

from dataclasses import fields

import sqlalchemy
from sqlalchemy import JSON, BigInteger, Boolean, Column, Dialect, Float, Integer, MetaData, Table

from untrained.training.epoch import Epoch

SCHEMA = 9


class String(sqlalchemy.TypeDecorator[str]):
    """Text. What a database refuses is kept as the escape that it shows as: lone surrogates, such
    as the bytes of a file's name that is not UTF-8, and on PostgreSQL the character NUL."""

    impl = sqlalchemy.String
    cache_ok = True
    python_type = str

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """The text as it is written."""
        if value and dialect.name == "postgresql":
            value = value.replace("\0", "\\x00")
        return value and value.encode(errors="backslashreplace").decode()


Count = BigInteger().with_variant(Integer, "sqlite")
"A whole number of any size, as all of SQLite's are."


metadata = MetaData()

schema = Table("schema", metadata, Column("version", Integer, primary_key=True))

runs = Table(
    "runs",
    metadata,
    Column("id", String, primary_key=True),
    Column("search", String),  # the id of the run whose trials are this one's; NULL is its own
    Column("name", String, nullable=False),
    Column("space", String, nullable=False),
    Column("searcher", String, nullable=False),
    Column("config", JSON, nullable=False),
    Column("images", JSON, nullable=False),
    Column("versions", JSON, nullable=False),
    Column("directions", JSON, nullable=False),
    Column("meanings", JSON),  # what each score measures; NULL in runs of older schemas
    Column("counts", JSON),  # scores that count; NULL in runs of older schemas
    Column("shrunk", JSON),  # what a cheap score discarded, see `Shrunk`; NULL for nothing
    Column("limited", JSON),  # which networks exceed the limits, see `Limited`; NULL without
    Column("calibrated", JSON),  # which scores rank trained networks, see `Calibrated`; or NULL
    Column("budgeted", JSON),  # what a time budget was planned for, see `Budgeted`; or NULL
    Column("selected", String),
    Column("ended", Float),  # when the search did
    Column("started", Float, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("run", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("batch", Integer, nullable=False),
    Column("architecture", String, nullable=False),
    Column("draws", JSON, nullable=False),
    Column("role", String),  # what it is to the searcher; NULL for nothing in particular
    Column("note", String, nullable=False),
    Column("epochs", Integer),
    Column("measurements", JSON, nullable=False),
    Column("seen", Integer),  # trials that it was proposed from; NULL: those of earlier batches
)

pending = Table(  # proposals of asynchronous searches that are being measured
    "pending",
    metadata,
    Column("run", String, primary_key=True),
    Column("batch", Integer, primary_key=True),
    *(
        Column(column.name, column.type, nullable=column.nullable)
        for column in trials.columns
        if column.name not in ("run", "number", "batch")
    ),
)

measurements = Table(
    "measurements",
    metadata,
    Column("key", String, primary_key=True),
    Column("run", String, nullable=False),
    Column("question", JSON, nullable=False),
    Column("score", String, nullable=False),
    Column("value", Float),
    Column("reason", String, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("times", Integer, nullable=False, default=1),  # more than 1 is work done in vain
    Column("bound_kind", String),  # what ran out, and how much there was: see `Bound`
    Column("bound_amount", Float),
)

trainings = Table(
    "trainings",
    metadata,
    Column("key", String, primary_key=True),
    Column("question", JSON, nullable=False),
    Column("parameters", Count),
    Column("macs", Count),
    Column("best_epoch", Integer),
    Column("finished", Boolean, nullable=False, default=False),
    Column("reason", String, nullable=False, default=""),  # why it ended early
    Column("test_accuracy", Float),
    Column("confusion", JSON),
)

epochs = Table(
    "epochs",
    metadata,
    Column("training", String, primary_key=True),
    Column("number", Integer, primary_key=True),
    *(Column(f.name, Float, nullable=False) for f in fields(Epoch) if f.name != "number"),
)

trained = Table(
    "trained",
    metadata,
    Column("run", String, primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("role", String, nullable=False),
    Column("architecture", String, nullable=False),  # as named; its canonical form is trained
    Column("training", String, nullable=False),
)

costs = Table(
    "costs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("run", String, nullable=False),
    Column("step", String, nullable=False),
    Column("wall", Boolean, nullable=False),
    Column("seconds", Float, nullable=False),
)

drivers = Table(  # that measure into the store at present
    "drivers",
    metadata,
    Column("id", String, primary_key=True),
    Column("machine", String, nullable=False),
    Column("lock", String),  # a file that it holds as long as it lives; NULL for none
    Column("until", Float, nullable=False),  # of its lease: seconds since 1970
)

claims = Table(  # measurements that are being made
    "claims",
    metadata,
    Column("key", String, primary_key=True),
    Column("driver", String, nullable=False),
)

commits = Table(  # on a server: the last transaction that each connection signed, see `Signature`
    "commits",
    metadata,
    Column("writer", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("at", Float, nullable=False),  # seconds since 1970
)
