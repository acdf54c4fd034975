"""HW-NAS-Bench: latency and energy of NAS-Bench-201's networks on six devices.

Source: Li et al., "HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark", ICLR 2021,
https://arxiv.org/abs/2103.10584.
"""

from functools import cache

import polars as pl

from untrained.tables.nasbench201 import NASBench201Table
from untrained.tables.table import at_hand

FILE = "nasbench201_hardware.parquet"
SPACE = "nasbench201"
DATA = ("cifar10", "cifar100", "imagenet16_120")
DEVICES = {
    "latency": ("edgegpu", "raspi4", "edgetpu", "pixel3", "eyeriss", "fpga"),
    "energy": ("edgegpu", "eyeriss", "fpga"),
}
MILLI = 1e-3  # of what the table has, milliseconds and millijoules


def check_device(quantity: str, device: str) -> None:
    """Refuse a device of which there is no such column, or a table that is not at hand.

    Raises:
        ValueError: either.
    """
    if device not in DEVICES[quantity]:
        raise ValueError(
            f"expected one of {', '.join(DEVICES[quantity])} for {quantity}, got {device!r}"
        )
    if at_hand(FILE) is None:
        raise ValueError(
            f"expected the table tables/{FILE} in the data folder, got none; untrained data says "
            f"how to get it"
        )


@cache
def of_device(quantity: str, device: str, data: str = DATA[0]) -> dict[str, float]:
    """Architecture -> seconds or joules for one image, at batch 1; without those not measured.

    On the edge TPU 4,699 of the 15,625 have no latency, which the table writes as -1.

    Args:
        quantity: `latency` or `energy`.
        device: one of `DEVICES`.
        data: one of `DATA`; images of ImageNet16-120 are smaller.

    Raises:
        ValueError: as `check_device`.
    """
    check_device(quantity, device)
    path = at_hand(FILE)
    assert path is not None
    column = pl.col(f"{device}_{quantity}") * MILLI
    rows = pl.read_parquet(path).filter(pl.col("dataset") == data).select("index", value=column)
    rows = rows.filter(pl.col("value") > 0)
    named = NASBench201Table().frame.select("index", "architecture")
    joined = named.join(rows.with_columns(pl.col("index").cast(named["index"].dtype)), on="index")
    return dict(zip(joined["architecture"], joined["value"], strict=True))
