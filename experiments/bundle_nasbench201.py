"""Makes the bundled table of NAS-Bench-201, from the full one in the data folder.

    python experiments/bundle_nasbench201.py

The numbers are those of NATS-Bench (Dong, Liu, Musial & Gabrys, https://arxiv.org/abs/2009.00437),
whose topology space is NAS-Bench-201 (Dong & Yang, https://arxiv.org/abs/2001.00326), published
under the MIT licence; its notice is beside the file. Prints what rounding to 1e-6 costs.
"""

import polars as pl

from untrained.data import data_folder
from untrained.tables.packed import packed, unpacked
from untrained.tables.table import BUNDLED

FILE = BUNDLED / "nasbench201.parquet"


def main() -> None:
    """Writes the table, reads it again, and prints its size and how far each column is off."""
    full = pl.read_parquet(data_folder() / "tables" / FILE.name).sort("index")
    packed(full).write_parquet(FILE, compression="zstd", compression_level=22)
    kept = unpacked(pl.read_parquet(FILE))
    assert kept.select("index", "architecture").equals(full.select("index", "architecture"))
    print(f"{FILE}: {FILE.stat().st_size:,} bytes, {len(kept):,} rows")
    for column in kept.columns[2:]:
        lost = (kept[column] - full[column]).abs().to_numpy().max()
        moved = (full[column].rank("min") != kept[column].rank("min")).sum()
        print(f"{column:32} largest difference {lost:.1e}, ranks that differ {moved:,}")


if __name__ == "__main__":
    main()
