"""Architectures of DARTS and their text forms: our own and those that are published in.

Source: Liu, Simonyan & Yang, "DARTS: Differentiable Architecture Search", ICLR 2019,
https://arxiv.org/abs/1806.09055 (`Genotype`); Siems et al., "NAS-Bench-301 and the Case for
Surrogate Benchmarks for Neural Architecture Search", https://arxiv.org/abs/2008.09777 (indices,
as NAS-Bench-Suite-Zero writes them); Dong & Yang, "Searching for a Robust Neural Architecture in
Four GPU Hours", CVPR 2019, https://arxiv.org/abs/1910.04465 (a dictionary, pairs nested by node).
"""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from untrained.spaces.darts_network import EDGES
from untrained.spaces.darts_network import OPERATIONS as BUILDERS
from untrained.spaces.space import Architecture

OPERATIONS = tuple(BUILDERS)
NONE = "none"
"What the space never samples, and published genotypes may hold: an input of zeros."
CELLS = ("normal", "reduction")
NODES = (2, 3, 4, 5)
SHAPE = "normal:|op~0|op~1|+|...|+|...|+|...|/reduction:|op~0|op~1|+|...|+|...|+|...|"

NAMED_PAIR = "('operation', input node)"
NUMPY_WEIGHT = re.compile(r"np\.float\d+\(([^()]*)\)")
"How NumPy 2 shows the weight of an edge."

Edges = tuple[tuple[str, ...], ...]
"The operations kept on each edge of a cell; none where the edge is absent."
Inputs = Sequence[tuple[int, Sequence[str]]]
"Of one node: where its edges come from, and their operations."


def inputs_of(edges: Edges, node: int) -> list[tuple[int, tuple[str, ...]]]:
    """The inputs of a node: where each comes from, and its operations.

    A node that only one edge reaches, with two operations, has both inputs from there.
    """
    found = [(i, kept) for (i, j), kept in zip(EDGES, edges, strict=True) if j == node and kept]
    if len(found) == 1 and len(found[0][1]) == 2:
        ((i, both),) = found
        return [(i, (operation,)) for operation in both]
    return found


def edges_of(nodes: Sequence[Inputs]) -> Edges:
    """The 14 edges from the inputs of nodes 2 to 5."""
    found: dict[tuple[int, int], list[str]] = defaultdict(list)
    for node, inputs in zip(NODES, nodes, strict=True):
        for i, kept in inputs:
            found[i, node].extend(kept)
    order = (*OPERATIONS, NONE).index
    return tuple(tuple(sorted(found[edge], key=order)) for edge in EDGES)


def check_count(inputs: int, node: int, cell: str) -> None:
    """Refuse a node with fewer than two inputs."""
    if inputs < 2:
        raise ValueError(
            f"node {node} of the {cell} cell has too few inputs: expected at least 2 edges with "
            f"an operation, got {inputs}"
        )


@dataclass(frozen=True, order=True)
class DARTSArchitecture(Architecture):
    """The operations kept on each edge of both cells, in the order 0-2, 1-2, 0-3, 1-3, 2-3, ...

    A discrete architecture has two inputs a node and one operation on each; anything more is
    partial. Both inputs may come from one node, and an input may be `none`: such cells were
    trained and published, though the space as it was defined has neither. A node with fewer
    inputs raises ValueError.
    """

    normal: Edges
    reduction: Edges

    def __post_init__(self) -> None:
        for name, edges in zip(CELLS, (self.normal, self.reduction), strict=True):
            for node in NODES:
                check_count(len(inputs_of(edges, node)), node, name)

    def __str__(self) -> str:
        return f"normal:{_cell_text(self.normal)}/reduction:{_cell_text(self.reduction)}"

    @property
    def partial(self) -> bool:
        return any(
            len(inputs) > 2 or any(len(kept) > 1 for _, kept in inputs)
            for edges in (self.normal, self.reduction)
            for inputs in (inputs_of(edges, node) for node in NODES)
        )


def _cell_text(edges: Edges) -> str:
    nodes = [[f"{','.join(kept)}~{i}" for i, kept in inputs_of(edges, node)] for node in NODES]
    return "+".join(f"|{'|'.join(terms)}|" for terms in nodes)


def genotype(architecture: DARTSArchitecture) -> str:
    """A discrete architecture as DARTS publishes it; inputs of a node in ascending order."""
    normal, reduction = ([(o, i) for i, o in pairs] for pairs in _pairs(architecture))
    return (
        f"Genotype(normal={normal!r}, normal_concat=range(2, 6), "
        f"reduce={reduction!r}, reduce_concat=range(2, 6))"
    )


def nasbench301(architecture: DARTSArchitecture) -> str:
    """A discrete architecture as pairs [input node, index of the operation], eight a cell.

    Raises:
        ValueError: a partial one, or one with `none`, which has no index.
    """
    cells = list(_pairs(architecture))
    if any(operation == NONE for pairs in cells for _, operation in pairs):
        raise ValueError(
            f"this form has no index for none: expected one of {', '.join(OPERATIONS)} on each "
            f"edge, got {str(architecture)!r}; try genotype"
        )
    return repr([[[i, OPERATIONS.index(o)] for i, o in pairs] for pairs in cells])


def _pairs(architecture: DARTSArchitecture) -> Iterator[list[tuple[int, str]]]:
    if architecture.partial:
        raise ValueError(
            f"this form holds two edges a node with one operation each: expected a discrete "
            f"architecture, got {str(architecture)!r}"
        )
    for edges in (architecture.normal, architecture.reduction):
        yield [(i, kept[0]) for node in NODES for i, kept in inputs_of(edges, node)]


def read(text: str) -> DARTSArchitecture:
    """An architecture from any of its text forms.

    Raises:
        ValueError: what was expected and what came, in one line.
    """
    text = " ".join(text.split())
    if text.startswith(("Genotype", "{")):
        return _from_genotype(text)
    if text.startswith(("[", "(")):
        return _from_indices(text)
    match = re.fullmatch("normal:([^/:]*)/reduction:([^/:]*)", text)
    if not match:
        raise ValueError(
            f"not a DARTS architecture: expected {SHAPE}, Genotype(normal=[('op', 0), ...], "
            f"reduce=[...]), a dictionary of these two or [[[0, index of op], ...], [...]], got "
            f"{text!r}"
        )
    normal, reduction = (
        _from_text(cell, name) for cell, name in zip(match.groups(), CELLS, strict=True)
    )
    return DARTSArchitecture(normal, reduction)


def _from_text(text: str, cell: str) -> Edges:
    nodes = text.split("+")
    if len(nodes) != 4 or not all(re.fullmatch(r"\|([^|~]*~\d+\|)+", node) for node in nodes):
        raise ValueError(
            f"the {cell} cell: expected four nodes |op~0|op~1|+|...|+|...|+|...|, got {text!r}"
        )
    terms = [re.findall(r"([^|~]*)~(\d+)\|", node) for node in nodes]
    return _edges([[(int(i), kept.split(",")) for kept, i in node] for node in terms], cell)


def _from_genotype(text: str) -> DARTSArchitecture:
    try:
        call = ast.parse(NUMPY_WEIGHT.sub(r"\1", text), mode="eval").body
    except (SyntaxError, RecursionError, MemoryError) as error:
        raise ValueError(
            f"not a Genotype: expected Genotype(normal=[('op', 0), ...], reduce=[...]), got "
            f"{text!r}: {getattr(error, 'msg', 'nested too deeply')}"
        ) from None
    known = {"normal", "normal_concat", "reduce", "reduce_concat"}
    given = _named(call)
    if not {"normal", "reduce"} <= set(given) <= known:
        raise ValueError(
            f"not a Genotype: expected normal=[...] and reduce=[...], with or without "
            f"normal_concat and reduce_concat; got {text!r}"
        )
    for name in ("normal_concat", "reduce_concat"):
        if name in given and (found := _numbers(given[name])) != list(NODES):
            raise ValueError(
                f"{name}: expected the four nodes [2, 3, 4, 5], got "
                f"{found or ast.unparse(given[name])}; other outputs are not in this space"
            )
    cells = [
        _from_pairs(_literal(given[key]), name, NAMED_PAIR, operation=0)
        for key, name in zip(("normal", "reduce"), CELLS, strict=True)
    ]
    return DARTSArchitecture(*cells)


def _from_indices(text: str) -> DARTSArchitecture:
    try:
        cells = ast.literal_eval(text)
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError):
        raise ValueError(
            f"pairs of numbers cut or unbalanced: expected [[[0, index of op], ...], [...]], got "
            f"{text!r}"
        ) from None
    if not isinstance(cells, list | tuple) or len(cells) != 2:
        raise ValueError(f"expected two cells [normal, reduction], each of 8 pairs, got {text!r}")
    named = re.match(r"[\[( ]*['\"]", text) is not None
    form = NAMED_PAIR if named else "[input node, index of the operation]"
    return DARTSArchitecture(
        *(
            _from_pairs(pairs, name, form, operation=0 if named else 1)
            for pairs, name in zip(cells, CELLS, strict=True)
        )
    )


def _named(call: ast.expr) -> dict[str, ast.expr]:
    """The keywords of `Genotype(...)`, or the keys of a dictionary; none of anything else."""
    if isinstance(call, ast.Call) and not call.args:
        return {str(keyword.arg): keyword.value for keyword in call.keywords}
    if isinstance(call, ast.Dict):
        keys = [key.value if isinstance(key, ast.Constant) else None for key in call.keys]
        return {str(key): value for key, value in zip(keys, call.values, strict=True)}
    return {}


def _literal(node: ast.expr) -> object:
    try:
        return ast.literal_eval(node)
    except (TypeError, ValueError):
        return ast.unparse(node)  # whoever reads it says what it expected


def _numbers(node: ast.expr) -> object:
    """The numbers of a list, a tuple or `range(a, b)`."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "range" and not node.keywords:
        bounds = [bound for a in node.args if isinstance(bound := _literal(a), int)]
        if len(bounds) == len(node.args) and len(bounds) in (1, 2):
            return list(range(*bounds))
    found = _literal(node)
    return list(found) if isinstance(found, list | tuple) else found


def _from_pairs(pairs: object, cell: str, form: str, operation: int) -> Edges:
    """A cell from eight pairs, two a node, that hold the operation at place `operation`.

    Pairs may be nested, `((pair, pair), ...)` with one item a node, and end in the weight of the
    edge, which says nothing about the architecture.
    """
    if isinstance(pairs, list | tuple) and len(pairs) == 4:
        pairs = [pair for node in pairs for pair in (node if _is_nested(node) else (node,))]
    if not isinstance(pairs, list | tuple) or len(pairs) != 8:
        count = f"{len(pairs)} of them" if isinstance(pairs, list | tuple) else repr(pairs)
        raise ValueError(f"the {cell} cell: expected 8 pairs {form}, two a node; got {count}")
    read_pairs: list[tuple[int, list[str]]] = []
    for pair in pairs:
        if (
            not isinstance(pair, list | tuple)
            or len(pair) not in (2, 3)
            or (len(pair) == 3 and type(pair[2]) is not float)
        ):
            raise ValueError(f"the {cell} cell: expected a pair {form}, got {pair!r}")
        name, i = pair[operation], pair[1 - operation]
        if type(name) is int and operation == 1:
            name = OPERATIONS[name] if 0 <= name < len(OPERATIONS) else name
        if type(i) is not int or type(name) is not str:
            raise ValueError(
                f"the {cell} cell: expected a pair {form}, operations from 0 "
                f"({OPERATIONS[0]}) to {len(OPERATIONS) - 1} ({OPERATIONS[-1]}); got {pair!r}"
                if operation == 1
                else f"the {cell} cell: expected a pair {form}, got {pair!r}"
            )
        read_pairs.append((i, [name]))
    return _edges([read_pairs[k : k + 2] for k in (0, 2, 4, 6)], cell)


def _is_nested(node: object) -> bool:
    """Whether it holds the two pairs of a node."""
    return (
        isinstance(node, list | tuple)
        and len(node) == 2
        and all(isinstance(pair, list | tuple) for pair in node)
    )


def _edges(nodes: Sequence[Inputs], cell: str) -> Edges:
    """The 14 edges from what a text says of nodes 2 to 5."""
    for node, inputs in zip(NODES, nodes, strict=True):
        check_count(len(inputs), node, cell)
        discrete = len(inputs) == 2 and all(len(kept) == 1 for _, kept in inputs)
        taken: set[int] = set()
        for i, kept in inputs:
            if not 0 <= i < node:
                raise ValueError(
                    f"node {node} of the {cell} cell takes node {i}: expected an earlier node, "
                    f"0 to {node - 1}"
                )
            if i in taken and not discrete:
                raise ValueError(
                    f"node {node} of the {cell} cell takes node {i} twice: expected inputs that "
                    f"differ, or two with one operation each; a partial edge reads op,op~{i}"
                )
            taken.add(i)
            for operation in kept:
                if operation != NONE or not discrete:
                    _check_operation(operation, f"edge {i}-{node} of the {cell} cell")
    return edges_of([[(i, tuple(dict.fromkeys(kept))) for i, kept in node] for node in nodes])


def _check_operation(operation: str, where: str) -> None:
    if operation in OPERATIONS:
        return
    if operation in ("", NONE):
        raise ValueError(f"{where}: got {operation or 'no operation'!r}; leave the edge out")
    near = get_close_matches(operation, OPERATIONS, n=1, cutoff=0)
    raise ValueError(
        f"{where}: unknown operation {operation!r}: expected one of {', '.join(OPERATIONS)}; "
        f"did you mean {near[0]}?"
    )
