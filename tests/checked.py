"""How the types of `untrained` are checked while it is tested; to be imported before it.

jaxtyping's import hook puts `jaxtyping.jaxtyped` on every function and dataclass. That binds each
call to a signature and checks the arguments twice, for the sake of shapes, and compiles the checks
of a closure as often as it is made. Most functions have no shapes, and their checks were more than
half of the suite's time.
"""

import functools
import inspect
import threading
from collections.abc import Callable
from dataclasses import is_dataclass
from types import CellType, FunctionType
from typing import Any, get_args

import jaxtyping
from beartype import BeartypeConf, beartype

jaxtyped = jaxtyping.jaxtyped
typed = beartype(conf=BeartypeConf(violation_type=jaxtyping.TypeCheckError))
"As jaxtyping does, it raises a `TypeError`."


def checked(made: Any = None, *, typechecker: object = typed) -> Any:
    """As `jaxtyped` with beartype, which is all that is needed where there are no shapes.

    The hook passes beartype as a `typechecker` in whose frame 0.18 does not find names of classes.
    """
    if made is None:
        return checked
    if inspect.isclass(made):
        if is_dataclass(made) and not hasattr(made.__init__, "__wrapped__"):
            made.__init__ = checked(made.__init__)  # type: ignore[method-assign]
        return made
    if any(map(has_shape, made.__annotations__.values())):
        return jaxtyped(made, typechecker=beartype)
    if made.__closure__ is None or inspect.isgeneratorfunction(made):
        return typed(made)
    return checked_closure(made)


def has_shape(hint: Any) -> bool:
    """Whether an annotation has one such as `Float[Tensor, "n k"]`, at any depth."""
    if isinstance(hint, list):  # the arguments of a Callable
        return any(map(has_shape, hint))
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(map(has_shape, get_args(hint)))


CHECKS: dict[tuple[Any, ...], Callable[..., Any]] = {}
"Of closures, by code and annotations."

CALLED = threading.local()


def checked_closure(made: FunctionType) -> Callable[..., Any]:
    """The checks are those of the first closure of its code."""
    key = (made.__code__, *made.__annotations__.items())
    if key not in CHECKS:
        CHECKS[key] = typed(passed_on(made))
    checks = CHECKS[key]

    @functools.wraps(made)
    def called(*args: Any, **kwargs: Any) -> Any:
        CALLED.function = made
        return checks(*args, **kwargs)

    return called


def passed_on(made: FunctionType) -> Callable[..., Any]:
    """A function with the signature of a closure that holds nothing, and calls `CALLED`."""
    empty = tuple(CellType() for _ in made.__code__.co_freevars)
    signature = FunctionType(made.__code__, made.__globals__, made.__name__, None, empty)
    signature.__annotations__, signature.__qualname__ = made.__annotations__, made.__qualname__

    @functools.wraps(signature)
    def called(*args: Any, **kwargs: Any) -> Any:
        function = vars(CALLED).pop("function")
        return function(*args, **kwargs)

    return called


jaxtyping.jaxtyped = checked  # type: ignore[assignment]
