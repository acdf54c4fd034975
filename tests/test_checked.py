"""The types of the package are checked in every test, as `jaxtyping.jaxtyped` would."""

import gc
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import torch
from beartype import beartype
from checked import checked, jaxtyped
from jaxtyping import Float
from torch import Tensor

from untrained import spectrum
from untrained.spaces import get_space
from untrained.training import TrainingSpec

Decorator = Callable[..., Any]


def plain(decorated: Decorator) -> Any:
    @decorated
    def f(a: int, *rest: str, b: Literal["x", "y"] = "x", c: list[int] | None = None) -> int:
        return a if a < 9 else "many"  # type: ignore[return-value]

    return f


def shaped(decorated: Decorator) -> Any:
    @decorated
    def f(a: Float[Tensor, "n k"], b: Float[Tensor, " k"] | None = None) -> Float[Tensor, " n"]:
        return a.sum(1) if b is None else a * b

    return f


def closure(decorated: Decorator) -> Any:
    """The second of its code, which must not compute with what the first holds."""

    def made(k: int) -> Any:
        @decorated
        def f(a: int, b: int = 1) -> int:
            return a * k + b if k < 9 else f"{k}"  # type: ignore[return-value]

        return f

    return [made(5), made(3), made(9)][1]


def nested(decorated: Decorator) -> Any:
    """A closure that calls another of its code before it returns."""

    def made(next: Any) -> Any:
        @decorated
        def f(a: int) -> int:
            return next(a) + 1 if next else a

        return f

    return made(made(made(None)))


def generator(decorated: Decorator) -> Any:
    @decorated
    def f(a: int) -> Iterator[int]:
        yield a

    return lambda *args: list(f(*args))


def record(decorated: Decorator) -> Any:
    @decorated
    @dataclass(frozen=True)
    class Record:
        a: int
        b: tuple[str, ...] = ()
        c: list[int] = field(default_factory=list)

    return Record


def shaped_record(decorated: Decorator) -> Any:
    @decorated
    @dataclass
    class Record:
        a: Float[Tensor, "n k"]
        b: Float[Tensor, " n"]

        def __eq__(self, other: object) -> bool:
            return vars(self).keys() == vars(other).keys()

    return Record


MATRIX, VECTOR = torch.ones(2, 3), torch.ones(3)
CALLS: list[tuple[Callable[[Decorator], Any], tuple[Any, ...], dict[str, Any], bool]] = [
    (plain, (1,), {}, True),
    (plain, (1, "p", "q"), {"b": "y", "c": [1]}, True),
    (plain, ("1",), {}, False),
    (plain, (1, "p", 2), {}, False),
    (plain, (1,), {"b": "z"}, False),
    (plain, (1,), {"c": ["1"]}, False),
    (plain, (9,), {}, False),
    (shaped, (MATRIX,), {}, True),
    (shaped, (VECTOR,), {}, False),
    (shaped, (MATRIX.long(),), {}, False),
    (shaped, (MATRIX, torch.ones(2)), {}, False),
    (shaped, (MATRIX, VECTOR), {}, False),
    (closure, (2,), {}, True),
    (closure, (2,), {"b": 3}, True),
    (closure, ("2",), {}, False),
    (closure, (2,), {"b": "3"}, False),
    (nested, (1,), {}, True),
    (nested, ("1",), {}, False),
    (generator, (1,), {}, True),
    (generator, ("1",), {}, False),
    (record, (1,), {"b": ("p",)}, True),
    (record, (1,), {"b": (1,)}, False),
    (record, (1,), {"c": (1,)}, False),
    (shaped_record, (MATRIX, torch.ones(2)), {}, True),
    (shaped_record, (MATRIX, VECTOR), {}, False),
]


@pytest.mark.parametrize(("made", "args", "kwargs", "right"), CALLS)
def test_what_jaxtyped_refuses_is_refused(
    made: Callable[[Decorator], Any], args: tuple[Any, ...], kwargs: dict[str, Any], right: bool
) -> None:
    theirs, ours = (made(each(typechecker=beartype)) for each in (jaxtyped, checked))
    if right:
        found, expected = ours(*args, **kwargs), theirs(*args, **kwargs)
        assert repr(found).split(".")[-1] == repr(expected).split(".")[-1]
        return
    for function in (theirs, ours):
        with pytest.raises(TypeError, match=r"hint|Type-check error"):
            function(*args, **kwargs)


def test_a_closure_that_returns_what_it_should_not_is_refused() -> None:
    decorated: Decorator = checked(typechecker=beartype)

    def made(k: Any) -> Any:
        @decorated
        def f() -> int:
            return k

        return f

    right, wrong = made(1), made("1")
    assert right() == 1
    with pytest.raises(TypeError, match="violates type hint <class 'int'>"):
        wrong()


def test_a_closure_is_not_held() -> None:
    decorated: Decorator = checked(typechecker=beartype)

    def made(network: torch.nn.Module) -> Any:
        @decorated
        def f(a: int) -> int:
            return a + len(list(network.modules()))

        return f

    network = torch.nn.Linear(1, 1)
    assert made(network)(1) == 2
    held = weakref.ref(network)
    del network
    gc.collect()
    assert held() is None


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: get_space(3),  # type: ignore[arg-type]
        lambda: spectrum(torch.ones(3)),
        lambda: TrainingSpec(epochs="one"),  # type: ignore[arg-type]
    ],
)
def test_the_package_is_checked(wrong: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"hint|Type-check error"):
        wrong()
