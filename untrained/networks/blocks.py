"""Blocks: the stages that a network consists of, and the features between them.

They are the members of the network's trunk: of its direct children, or itself, the plain
`nn.Sequential` or `nn.ModuleList` with most members. A member that is such a container itself
stands for its own members. What comes before the trunk is the stem, what comes after the head.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

CONTAINERS = (nn.Sequential, nn.ModuleList)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The network's blocks, in order.

    Raises:
        ValueError: it has no trunk.

    Example:
        >>> stem, head = nn.Conv2d(3, 8, 3), nn.Flatten()
        >>> trunk = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU()))
        >>> len(blocks_of(nn.ModuleDict({"stem": stem, "trunk": trunk, "head": head})))
        3
    """
    trunks = [model, *model.children()] if type(model) not in CONTAINERS else [model]
    found = max((_members(trunk) for trunk in trunks), key=len)
    if not found:
        raise ValueError(
            f"expected a network with a sequence of blocks, an nn.Sequential or nn.ModuleList, "
            f"itself or among its children, got {type(model).__name__} without"
        )
    return found


def _members(module: nn.Module) -> list[nn.Module]:
    """The members of a container and of those within; none for any other module."""
    if type(module) not in CONTAINERS:
        return []
    return [m for child in module.children() for m in _members(child) or [child]]


@contextmanager
def features_between(blocks: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """Inside, a pass of the network fills the list: what enters the first block, what leaves each.

    A block is given a copy of what comes to it, so that what it changes in place stays in the
    list as it was. Hooks are removed at the end.

    Raises:
        ValueError: a block that takes or gives something other than tensors; a pass that calls
            none of them.
    """
    found: list[Tensor] = []

    def enter(block: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        if not found:
            given = [a for a in args if isinstance(a, Tensor)]
            if not given:
                raise ValueError("expected blocks that are given a tensor, got one without")
            found.append(given[0])
        return tuple(a.clone() if a is found[-1] else a for a in args)

    def leave(block: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        if not isinstance(output, Tensor):
            raise ValueError(
                f"expected blocks that give a tensor each, got {type(output).__name__} from "
                f"{type(block).__name__}"
            )
        found.append(output)
        return output.clone()

    with ExitStack() as hooks:
        hooks.enter_context(blocks[0].register_forward_pre_hook(enter))
        for block in blocks:
            hooks.enter_context(block.register_forward_hook(leave))
        yield found
    if not found:
        raise ValueError("expected a network that calls its blocks, got one that calls none")
