"""The empirical neural tangent kernel: one front door.

    Theta(x_i, x_j) = J_i . J_j,    J_i = d g(x_i) / d theta,    g = f R

with f the network's outputs and R the readout: see `readout` for what Theta is of, `batchnorm` for
what normalises the network, `plan` for how it is computed.

Source: Jacot, Gabriel & Hongler, "Neural Tangent Kernel", NeurIPS 2018,
https://arxiv.org/abs/1806.07572. The sum over logits is the choice of the TE-NAS and LGA codes;
in the infinite-width limit it is K times the kernel of one logit.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from untrained.kernels.batchnorm import (
    BatchNormPolicy,
    FrozenStatistics,
    Policy,
    evaluating,
    policy_mode,
)
from untrained.kernels.collector import Collector
from untrained.kernels.contraction import ROUNDING, Precision, Tile
from untrained.kernels.jacobian import Jacobian, batched, loop, per_example
from untrained.kernels.layers import LAYERS
from untrained.kernels.plan import Choice, Plan, Problem, choose, make_plan, precision_for, seconds
from untrained.kernels.products import NTKOperator
from untrained.kernels.readout import Output, Readout, make_readout
from untrained.kernels.structured import structured, verify
from untrained.kernels.survey import SEEN, Site, Survey, Unstructured, survey

log = logging.getLogger(__name__)

Method = Literal["auto", "loop", "batched", "vmap", "structured", "products"]
Selection = Literal["all", "weights"] | Callable[[str, nn.Parameter], bool]

ROWS = {"loop": loop, "batched": batched, "vmap": per_example}
METHODS = ("structured", "vmap", "batched", "loop", "products")
"All of them; the first two are for independent examples alone."
INDEPENDENT = ("structured", "vmap")


class Kernel(Tensor):
    """A kernel in float64, with how it was computed; what is made of it is a plain tensor."""

    plan: Plan
    resolution: float
    "Eigenvalues below this share of the largest are rounding noise."

    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]


def ntk(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto"] | Precision = "auto",
) -> Kernel:
    """The NTK between two batches, or of one with itself.

        Theta = sum_alpha J1[:, alpha] J2[:, alpha]^T

    The model is left as it was. Dropout is off. J has the model's precision; the sum over
    parameters is in float64. `.plan` of what is returned says how it was computed, and why so.

    Args:
        model: any network whose first argument is a batch.
        x1: n inputs.
        x2: m inputs; None means `x1`. Under `frozen`, both see the statistics of `x1`.
        output: `sum` of the K outputs, as the published codes have it; `trace`, the sum of the
            kernels of each; `full` (n K x m K, row i K + k is output k of example i); one output,
            by its number; or a (K, q) tensor of projections, see `random_readout`. Outputs of any
            shape are flattened.
        parameters: `all` trainable ones; `weights`, those with `weight` in their name, as the
            published codes choose; or a function of name and parameter.
        batchnorm: `batch` (statistics of the batch, differentiated, so that examples are
            coupled), `frozen` (statistics of the batch, held constant) or `running`.
        method: `structured` (passes of whole batches, layer by layer), `vmap` (example by
            example), `batched` and `loop` (a backward pass for each row, exact under any coupling),
            `products` (columns J (J^T e)); `auto` takes the fastest that applies, as predicted.
        memory: ceiling in bytes on what is allocated beside network and inputs; None means 4 GiB.
        precision: of products, see `contraction`; `auto` is float64 where that costs little.

    Raises:
        ValueError: an unknown choice, a method that cannot be exact here, `x2` under `batch`, no
            parameter, inputs that are not finite, or a ceiling too low for one example.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 1)
        >>> theta = ntk(model, torch.eye(3))
        >>> theta[0]  # x_i . x_j + 1, the one from the bias
        tensor([2., 1., 1.], dtype=torch.float64)
        >>> theta.plan.method
        'structured'
    """
    asked = _Asked(output, parameters, batchnorm, method, memory, precision)
    return _kernels(model, x1, x2, asked, lambda name: "")[""]


def ntk_contributions(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    by: Literal["layer", "parameter"] | Callable[[str], str] = "layer",
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    method: Method = "auto",
    memory: int | None = None,
    precision: Literal["auto"] | Precision = "auto",
) -> dict[str, Kernel]:
    """What each layer, parameter, or group of them contributes to the NTK.

        Theta = sum_groups Theta_group,    Theta_group = sum_{alpha in group} J1 J2^T

    Args:
        by: `layer` (the module that owns the parameter), `parameter`, or a function from a
            parameter's name to its group's.

    The other arguments, and errors, are those of `ntk`.

    Example:
        >>> model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1))
        >>> shares = ntk_contributions(model, torch.eye(3))
        >>> list(shares), bool(torch.allclose(sum(shares.values()), ntk(model, torch.eye(3))))
        (['0', '1'], True)
    """
    labels: dict[str, Callable[[str], str]] = {
        "layer": lambda name: name.rpartition(".")[0],
        "parameter": lambda name: name,
    }
    if isinstance(by, str) and by not in labels:
        raise ValueError(
            f"unknown grouping: expected 'layer', 'parameter' or a function of a name, got {by!r}"
        )
    asked = _Asked(output, parameters, batchnorm, method, memory, precision)
    return _kernels(model, x1, x2, asked, labels[by] if isinstance(by, str) else by)


@dataclass(frozen=True)
class _Asked:
    """The choices of a call."""

    output: Output
    parameters: Selection
    batchnorm: Policy
    method: Method
    memory: int | None
    precision: Literal["auto"] | Precision

    def __post_init__(self) -> None:
        if self.method not in ("auto", *METHODS):
            raise ValueError(
                f"unknown method: expected auto, {', '.join(METHODS)}, got {self.method!r}"
            )
        if self.precision not in ("auto", *ROUNDING):
            raise ValueError(
                f"unknown precision: expected auto, {', '.join(ROUNDING)}, got {self.precision!r}"
            )
        if self.batchnorm == "batch" and self.method in INDEPENDENT:
            raise ValueError(
                f"method {self.method!r} needs independent examples: expected batchnorm='frozen' "
                f"or 'running', got 'batch', which couples them; use method='loop'"
            )


def _kernels(
    model: nn.Module, x1: Tensor, x2: Tensor | None, asked: _Asked, label: Callable[[str], str]
) -> dict[str, Kernel]:
    chosen = _select(model, asked.parameters)
    _check_inputs(x1, x2, asked.batchnorm)
    labels = list(dict.fromkeys(map(label, chosen)))
    with evaluating(model):
        found, why = _survey(model, x1, asked.batchnorm, chosen)
        like = next(iter(chosen.values()))
        readout = make_readout(asked.output, found.outputs, like)
        problem = Problem(
            n=len(x1),
            m=None if x2 is None else len(x2),
            columns=readout.columns,
            apart=readout.apart,
            sizes={name: p.numel() for name, p in chosen.items()},
            survey=found,
            tiles=len(labels),
            width=like.element_size(),
        )
        precision = precision_for(problem) if asked.precision == "auto" else asked.precision
        last = found.rich and x1.ndim == 4 and x1.is_cpu and x1.dtype == torch.float32
        for choice in _choices(problem, asked, why):
            method, plan = choice.method, make_plan(problem, choice, precision, asked.memory, last)
            try:
                thetas = _compute(model, x1, x2, readout, asked, chosen, plan, found, label)
            except _DOES_NOT_APPLY.get(method, ()) as error:
                if asked.method != "auto":
                    raise
                why[method] = str(error).splitlines()[0]
                continue
            log.info("%s", plan.reason)
            return {name: _kernel(theta, plan, like) for name, theta in thetas.items()}
    raise AssertionError("the loop applies to every network")


# What says that a method cannot follow a network: torch.func has no errors of its own.
_DOES_NOT_APPLY = {
    "structured": (Unstructured,),
    "vmap": (ValueError, RuntimeError, NotImplementedError),
    "batched": (RuntimeError, NotImplementedError),
}


def _kernel(theta: Tensor, plan: Plan, like: Tensor) -> Kernel:
    """Theta with its plan.

    A relative error n eps of the singular values of J is (n eps)^2 of their squares, and the sums
    have errors of their own.
    """
    n = len(theta)
    eps = torch.finfo(like.dtype).eps
    kernel = theta.as_subclass(Kernel)
    kernel.plan = plan
    kernel.resolution = max(
        (n * eps) ** 2, n * torch.finfo(torch.float64).eps, n * ROUNDING[plan.precision]
    )
    return kernel


def _check_inputs(x1: Tensor, x2: Tensor | None, batchnorm: str) -> None:
    for name, x in (("x1", x1), ("x2", x2)):
        if x is None:
            continue
        if not isinstance(x, Tensor) or x.ndim == 0 or not len(x):
            got = tuple(x.shape) if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"expected {name} as a tensor of one example or more, got {got}")
        if x.is_floating_point() and not torch.isfinite(x).all():
            bad = (~torch.isfinite(x)).flatten(1).any(1) if x.ndim > 1 else ~torch.isfinite(x)
            raise ValueError(
                f"{name} holds NaN or infinity, first in example {int(bad.nonzero()[0])}: expected "
                f"finite inputs; drop or repair {int(bad.sum())} of {len(x)} examples"
            )
    if x2 is None:
        return
    if batchnorm == "batch":
        raise ValueError(
            "batchnorm='batch' couples the examples of one batch: expected x2=None, got a second "
            "batch; use 'frozen' or 'running'"
        )
    if x1.shape[1:] != x2.shape[1:] or x1.dtype != x2.dtype:
        raise ValueError(
            f"expected x2 like x1, of examples {tuple(x1.shape[1:])} in {x1.dtype}, got "
            f"{tuple(x2.shape[1:])} in {x2.dtype}"
        )


def _select(model: nn.Module, parameters: Selection) -> dict[str, nn.Parameter]:
    keep: dict[str, Callable[[str, nn.Parameter], bool]] = {
        "all": lambda name, parameter: True,
        "weights": lambda name, parameter: "weight" in name,
    }
    if isinstance(parameters, str) and parameters not in keep:
        raise ValueError(
            f"unknown parameters: expected 'all', 'weights' or a function of name and parameter, "
            f"got {parameters!r}"
        )
    wanted = keep[parameters] if isinstance(parameters, str) else parameters
    chosen = {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and wanted(name, parameter)
    }
    if not chosen:
        raise ValueError(
            f"the NTK needs parameters: expected at least one trainable parameter selected by "
            f"{parameters!r}, got none"
        )
    return chosen


def _survey(
    model: nn.Module, x: Tensor, batchnorm: Policy, chosen: Mapping[str, nn.Parameter]
) -> tuple[Survey, dict[str, str]]:
    """What a few examples show of the network, and why some methods do not apply to it."""
    key = (batchnorm, x.shape[1:], x.dtype, *((name, p.shape) for name, p in chosen.items()))
    known = _surveys.setdefault(model, {})
    if key not in known:
        policy = policy_mode(batchnorm)
        found = survey(model, x, policy, LAYERS)
        why = {}
        if found.coupled:
            why = dict.fromkeys(INDEPENDENT, "the examples of a batch influence each other")
        elif found.obstacle:
            why["structured"] = found.obstacle
        elif not found.complete:
            try:
                verify(model, x[:SEEN], policy, found.sites, chosen)
            except Unstructured as error:
                why["structured"] = str(error)
        known[key] = found, why
    found, why = known[key]
    return found, dict(why)


# How a network's program goes is a matter of its code, not of its weights: each network object is
# asked once for a policy and a shape of input.
_surveys: WeakKeyDictionary[nn.Module, dict[object, tuple[Survey, dict[str, str]]]] = (
    WeakKeyDictionary()
)


def _choices(problem: Problem, asked: _Asked, why: Mapping[str, str]) -> Iterator[Choice]:
    """Methods to try, the fastest first."""
    if asked.method != "auto":
        if asked.method in why:
            raise ValueError(
                f"{why[asked.method]}: method {asked.method!r} cannot be exact; use method='loop'"
            )
        predicted: dict[str, float] = {asked.method: seconds(problem, asked.method)}
        yield Choice(asked.method, f"{asked.method}: as asked for", predicted)
        return
    left = [method for method in METHODS if method not in why]
    while left:
        choice = choose({method: seconds(problem, method) for method in left}, why)
        yield choice
        left.remove(choice.method)


def _compute(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None,
    readout: Readout,
    asked: _Asked,
    chosen: Mapping[str, nn.Parameter],
    plan: Plan,
    found: Survey,
    label: Callable[[str], str],
) -> dict[str, Tensor]:
    """Theta of each label."""
    policy = policy_mode(asked.batchnorm)
    if plan.channels_last:
        x1 = x1.contiguous(memory_format=torch.channels_last)
        x2 = None if x2 is None else x2.contiguous(memory_format=torch.channels_last)
    n, m = len(x1), None if x2 is None else len(x2)
    parts = m is not None or plan.method == "vmap" or plan.chunk < n or plan.side < n
    if isinstance(policy, FrozenStatistics) and parts:
        policy.calibrate(model, x1.split(plan.chunk))
    work = _Work(model, x1, x2, readout, policy, chosen, plan, found.sites, found.uses)
    way = WAYS.get(plan.method, _by_rows)
    full = Tile(n, m, readout.rows, plan.precision, x1.device)
    labels = dict.fromkeys(map(label, chosen))
    thetas = {name: full.theta if len(labels) == 1 else full.theta.clone() for name in labels}
    for rows, columns in _tiles(n, m, plan.side):
        tiles = {
            name: Tile(
                len(rows), None if columns is None else len(columns), readout.rows,
                plan.precision, x1.device,
            )
            for name in labels
        }  # fmt: skip
        way(work, rows, columns, lambda name: tiles[label(name)])
        a = readout.rows
        for name, tile in tiles.items():
            i = slice(rows.start * a, rows.stop * a)
            j = i if columns is None else slice(columns.start * a, columns.stop * a)
            thetas[name][i, j] = tile.theta
            if m is None and columns is not None:
                thetas[name][j, i] = tile.theta.T
    return thetas


def _tiles(n: int, m: int | None, side: int) -> Iterator[tuple[range, range | None]]:
    """Rows and columns of each tile; columns are None where they are the rows."""
    rows = [range(start, min(start + side, n)) for start in range(0, n, side)]
    if m is None:
        for k, some in enumerate(rows):
            yield some, None
            yield from ((some, others) for others in rows[:k])
        return
    columns = [range(start, min(start + side, m)) for start in range(0, m, side)]
    yield from product(rows, columns)


class _Work(NamedTuple):
    """What every tile of a kernel has in common."""

    model: nn.Module
    x1: Tensor
    x2: Tensor | None
    readout: Readout
    policy: BatchNormPolicy
    parameters: Mapping[str, nn.Parameter]
    plan: Plan
    sites: Sequence[Site]
    uses: Mapping[str, int]


Tiles = Callable[[str], Tile]


def _structured(work: _Work, rows: range, columns: range | None, tiles: Tiles) -> None:
    """One tile by passes of its examples, a group of parameters at a time."""
    plan = work.plan
    x = _shown(work.x1, rows)
    if columns is not None:
        x = torch.cat([x, _shown(work.x1 if work.x2 is None else work.x2, columns)])
    chunks = x.split(plan.chunk)
    for group in plan.groups:
        parameters = {name: work.parameters[name] for name in group}
        sizes = [len(chunk) for chunk in chunks]
        collector = Collector(parameters, tiles, sizes, work.uses, plan.workspace)
        structured(
            work.model, chunks, work.readout, work.policy, work.sites, collector, plan.columns
        )


def _by_rows(work: _Work, rows: range, columns: range | None, tiles: Tiles) -> None:
    """One tile from rows of J, of a group of parameters at a time."""
    method, plan = ROWS[work.plan.method], work.plan
    for group in plan.groups:
        for r in work.readout.matrix.split(plan.columns, 1):

            def j(
                x: Tensor, some: range, r: Tensor = r, group: tuple[str, ...] = group
            ) -> Jacobian:
                return method(work.model, x, some, r, work.policy, group)

            j1 = j(work.x1, rows)
            j2 = None
            if columns is not None:
                j2 = j(work.x1 if work.x2 is None else work.x2, columns)
            for name in group:
                tiles(name).add(j1[name], None if j2 is None else j2[name])


def _by_products(work: _Work, rows: range, columns: range | None, tiles: Tiles) -> None:
    """All of Theta, column by column."""
    names: dict[int, list[str]] = {}
    for name in work.parameters:
        names.setdefault(id(tiles(name)), []).append(name)
    x1 = work.x1.split(work.plan.chunk)
    x2 = None if work.x2 is None else work.x2.split(work.plan.chunk)
    for group in names.values():
        tile = tiles(group[0])
        parameters = {name: work.parameters[name] for name in group}
        operator = NTKOperator(work.model, x1, x2, work.readout, parameters, work.policy)
        r = work.readout.rows
        for column in range(tile.theta.shape[1]):
            unit = work.readout.matrix.new_zeros(tile.m, r)
            unit[column // r, column % r] = 1
            tile.theta[:, column] = operator.times(unit).flatten()


WAYS = {"structured": _structured, "products": _by_products}


def _shown(x: Tensor, some: range) -> Tensor:
    return x[some.start : some.stop]


def ntk_operator(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None = None,
    *,
    output: Output = "sum",
    parameters: Selection = "all",
    batchnorm: Policy = "running",
    chunk: int | None = None,
) -> NTKOperator:
    """The NTK as a linear operator, for kernels too large to hold.

    `theta @ u` costs about three forward and backward passes, and holds no more than one. With
    `largest_eigenvalues` and `conjugate_gradients` it tells the top of the spectrum and regression.

    Args:
        chunk: examples in a pass; None means all. Under `batch` it must be None.

    The other arguments, and errors, are those of `ntk`.

    Example:
        >>> import torch
        >>> from untrained.kernels.products import largest_eigenvalues
        >>> net, x = torch.nn.Linear(2, 1), torch.eye(2).repeat(50, 1)
        >>> theta = ntk_operator(net, x)  # 100 x 100: two sorts of rows, and 1 from the bias
        >>> [round(value) for value in largest_eigenvalues(theta, 2).values]
        [150, 50]
    """
    chosen = _select(model, parameters)
    _check_inputs(x1, x2, batchnorm)
    if batchnorm == "batch" and chunk is not None:
        raise ValueError("batchnorm='batch' couples the examples of a batch: expected chunk=None")
    policy = policy_mode(batchnorm)
    with evaluating(model):
        found, why = _survey(model, x1, batchnorm, chosen)
        if found.coupled and (chunk is not None or x2 is not None):
            raise ValueError(f"{why['vmap']}: expected chunk=None and x2=None")
        readout = make_readout(output, found.outputs, next(iter(chosen.values())))
        pieces = x1.split(chunk or len(x1))
        if isinstance(policy, FrozenStatistics):
            policy.calibrate(model, pieces)
    others = None if x2 is None else x2.split(chunk or len(x2))
    return NTKOperator(model, pieces, others, readout, chosen, policy)
