"""A model of what work costs, fitted by `benchmarks/fit_costs.py` on two cores of a server.

    seconds = sum_f coefficient[work][f] * amount[f]

It decides between ways to the same result, never the result; so it is the same table on every
machine, and runs on different machines take the same ways.
"""

from collections.abc import Mapping

# Nanoseconds for each multiply-add, number, matrix or call; see where the amounts are counted.
NANOSECONDS: Mapping[str, Mapping[str, float]] = {
    # rows of J of a convolution
    "patches": {"macs": 0.0238, "patches": 0.749, "rows": 1.14, "matrices": 65.1},
    "grouped": {"macs": 0.0235, "block_macs": 0.00184, "blocks": 0.589, "rows": 1.08},
    # of a linear layer
    "outer": {"macs": 0.036, "rows": 0.0837},
    # sums of products
    "product_float64": {"macs": 0.0618},
    "product_float32": {"macs": 0.0306},
    "product_bfloat16": {"macs": 0.0171},
    "pairs": {"pairs": 0.594},
    # a forward pass through a network
    "forward": {"macs": 0.0128, "numbers": 1.14, "calls": 9000.0},
}


def seconds(work: str, **amounts: float | int) -> float:
    """Predicted seconds on one core."""
    return 1e-9 * sum(NANOSECONDS[work].get(name, 0) * amount for name, amount in amounts.items())
