"""NAS-Bench-201's accuracies in half a megabyte: how the bundled table is written and read.

One row an architecture, in the benchmark's order, so that `index` is the row. `cell` is the
architecture's place in the space's `enumerate`; an accuracy a is kept as round(10^6 a).
"""

from functools import cache

import polars as pl

from untrained.spaces import get_space
from untrained.tables.table import BUNDLED

SCALE = 1_000_000
"""Of the integers. Accuracies are means, over one to three runs, of shares of at most 25,000
images: different ones differ by 1 / 150,000 or more, so that 1e-6 keeps their order."""


def packed(table: pl.DataFrame) -> pl.DataFrame:
    """The accuracies of all three data sets after 12 and 200 epochs, without text.

    Args:
        table: the full table, with `index`, `architecture` and accuracies in [0, 1].
    """
    place = {text: place for place, text in enumerate(_architectures())}
    rows = table.sort("index")
    return rows.select(
        pl.col("architecture").replace_strict(place, return_dtype=pl.UInt16).alias("cell"),
        *((pl.col(c) * SCALE).round().cast(pl.Int32) for c in rows.columns if _is_kept(c)),
    )


def unpacked(table: pl.DataFrame) -> pl.DataFrame:
    """What `packed` was given, without the columns that it leaves out."""
    texts = pl.Series(_architectures())
    return table.select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("index"),
        texts.gather(table["cell"]).alias("architecture"),
        *(  # polars would multiply by 1e-6, which is not one
            pl.Series(c, table[c].to_numpy() / SCALE) for c in table.columns if c != "cell"
        ),
    )


def bundled() -> pl.DataFrame:
    """The bundled table."""
    return unpacked(pl.read_parquet(BUNDLED / "nasbench201.parquet"))


def _is_kept(column: str) -> bool:
    return column.endswith(
        ("_test_12", "_valid_12", "_test_200", "_valid_200", "_valid_200_single")
    )


@cache
def _architectures() -> tuple[str, ...]:
    return tuple(map(str, get_space("nasbench201").enumerate()))
