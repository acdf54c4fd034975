"""The side of neural-tangents in `beside_neural_tangents.py`: computes what it is told.

Reads lines `NAME FILE` and answers each with the seconds of one evaluation, compiled before, whose
result is in FILE as .npy. Inputs and weights are in the .npz that it is called with.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import neural_tangents as nt
import numpy as np
from jax import lax
from neural_tangents import stax

GIVEN = dict(np.load(sys.argv[1]))
if GIVEN["double"]:
    jax.config.update("jax_enable_x64", True)
SPREAD = {"W_std": 2**0.5, "b_std": 0.1}
RELU = stax.Relu()


def dense() -> Any:
    """Of one unit; how many there are does not matter."""
    return stax.Dense(1, **SPREAD)


def conv() -> Any:
    """The same, over windows of three by three."""
    return stax.Conv(1, (3, 3), padding="SAME", **SPREAD)


INFINITE: dict[str, tuple[Any, ...]] = {
    "perceptron": (dense(), RELU, dense(), RELU, dense(), RELU, dense()),
    "erf": (dense(), stax.Erf(), dense(), stax.Erf(), dense()),
    "tanh": (dense(), stax.ElementwiseNumerical(jnp.tanh, deg=40), dense()),
    "convolutions": (conv(), RELU, conv(), RELU, conv(), RELU, stax.Flatten(), dense()),
    "averaged": (conv(), RELU, conv(), RELU, stax.GlobalAvgPool(), dense()),
}


def perceptron(params: Any, x: Any) -> Any:
    """Dense layers with ReLU between."""
    for k in range(0, len(params) - 2, 2):
        x = jax.nn.relu(x @ params[k].T + params[k + 1])
    return x @ params[-2].T + params[-1]


def convolutional(params: Any, x: Any) -> Any:
    """Convolutions with ReLU, the mean over pixels, a dense layer; images as torch has them."""
    for k in range(0, len(params) - 2, 2):
        x = lax.conv(x, params[k], (1, 1), "SAME") + params[k + 1][:, None, None]
        x = jax.nn.relu(x)
    return x.mean((2, 3)) @ params[-2].T + params[-1]


def infinite(name: str) -> Callable[[], Any]:
    """Both kernels in closed form."""
    kernel = jax.jit(stax.serial(*INFINITE[name])[2], static_argnames="get")
    x = jnp.asarray(GIVEN[name])
    return lambda: kernel(x, None, get=("nngp", "ntk")).ntk


def empirical(name: str, implementation: int) -> Callable[[], Any]:
    """The whole kernel of all outputs, (n, n, K, K)."""
    f = perceptron if name.startswith("dense") else convolutional
    x = jnp.asarray(GIVEN[name])
    count = len([key for key in GIVEN if key.startswith(f"{name}.")])
    params = [jnp.asarray(GIVEN[f"{name}.{k}"]) for k in range(count)]
    kernel = jax.jit(
        nt.empirical_ntk_fn(f, trace_axes=(), vmap_axes=0, implementation=implementation)
    )
    return lambda: kernel(x, None, params)


def main() -> None:
    """Answers until there are no more lines."""
    made: dict[str, Callable[[], Any]] = {}
    for line in sys.stdin:
        name, path = line.split()
        kind, _, implementation = name.partition("/")
        if name not in made:
            made[name] = empirical(kind, int(implementation)) if implementation else infinite(kind)
            jax.block_until_ready(made[name]())  # compiled
        began = time.perf_counter()
        found = jax.block_until_ready(made[name]())
        seconds = time.perf_counter() - began
        np.save(path, np.asarray(found))
        print(seconds, flush=True)


if __name__ == "__main__":
    main()
