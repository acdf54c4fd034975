"""A model of what work costs, fitted by `benchmarks/fit_costs.py` on two cores of a server.

    seconds = sum_f coefficient[work][f] * amount[f]

It decides between ways to the same result, never the result; so it is the same table on every
machine, and runs on different machines take the same ways.
"""

from collections.abc import Mapping

# Nanoseconds for each multiply-add, number, matrix or call; see where the amounts are counted.
NANOSECONDS: Mapping[str, Mapping[str, float]] = {
    # rows of J of a convolution
    "patches": {
        "far_rows": 0.49,
        "macs": 0.0198,
        "matrices": 221,
        "patches": 0.546,
        "rows": 0.899,
    },
    "grouped": {
        "block_macs": 0.00312,
        "blocks": 0.426,
        "far_rows": 4.73,
        "macs": 0.0163,
        "rows": 0.782,
    },
    # of a linear layer
    "outer": {"examples": 0, "macs": 0.0271, "rows": 0.176},
    # sums of products
    "product_float64": {"macs": 0.0613},
    "product_float32": {"macs": 0.0312},
    "product_bfloat16": {"macs": 0.0168},
    # `calls` is not fitted but set by hand: what Gram matrices of one parameter take more than its
    # rows, arithmetic aside. Networks of 30 linear layers of 12 to 64 channels, each made by both
    # ways, gave at most 30 microseconds; the rest favours rows.
    "pairs": {"pairs": 0.607, "calls": 4e04},
    # a forward pass through a network
    "forward": {"calls": 1.07e04, "macs": 0.0135, "numbers": 1.17},
}


def seconds(work: str, **amounts: float | int) -> float:
    """Predicted seconds on one core."""
    return 1e-9 * sum(NANOSECONDS[work].get(name, 0) * amount for name, amount in amounts.items())


def gram_seconds(
    product: str, pairs: float | int, ins: int, outs: int, columns: int, apart: bool
) -> float:
    """The same for one parameter's share of Theta by Gram matrices, see `Tile.add_grams`.

    Args:
        product: the work of A A^T and D D^T.
        pairs: of positions, over all pairs of examples.
        ins: a, numbers of A at a position.
        outs: o, those of D.
        columns: q, of the readout.
        apart: whether these have rows of Theta of their own.
    """
    each = columns**2 if apart else columns
    found = seconds(product, macs=pairs * (ins + outs * each))
    return found + seconds("pairs", pairs=pairs * (each if apart else 1), calls=1)
