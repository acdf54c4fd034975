"""A question for a kernel, and its answer by the fastest method that nothing refuses.

A survey tells which methods apply, and `choice` which of them is the fastest. Passes may still
refuse what a survey allowed: then the next method is tried. A question of a network whose program
was answered before is asked again with that survey and plan (see `recent`), if they hold.
"""

import logging
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from traceback import clear_frames
from typing import Literal, NamedTuple

from torch import Tensor, nn

from untrained.analysis.kernel import Kernel, rounded
from untrained.analysis.plan import Plan
from untrained.kernels.choice import INDEPENDENT, METHODS, Method, Problem, choices, precision_for
from untrained.kernels.knowledge import known
from untrained.kernels.passes import Work, compute
from untrained.kernels.planning import make_plan
from untrained.kernels.recent import Kept, forget, keep, program, recall
from untrained.kernels.unsurveyed import check_differentiable
from untrained.layerwise.contraction import ROUNDING, Precision
from untrained.layerwise.influence import Coupled
from untrained.layerwise.survey import Survey
from untrained.networks.arguments import (
    Selection,
    check_inputs,
    chosen_parameters,
    coarsest,
    finest,
    plain,
)
from untrained.networks.backends import as_written
from untrained.networks.batchnorm import evaluating, policy_mode
from untrained.networks.called import Called, own_name, told_own_names
from untrained.networks.choices import Policy
from untrained.networks.foreign import DEVICE_ERRORS, first_line
from untrained.networks.jacobian import real_numbers
from untrained.networks.readout import Output, Readout, make_readout
from untrained.networks.unwrapping import differentiable

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Asked:
    """The choices of a call, as `ntk` describes them.

    Raises:
        ValueError: an unknown choice, or a method that cannot be exact here.
    """

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


class Question(NamedTuple):
    """A network in `eval` mode, examples, what is asked of them, and how shares are told apart."""

    model: nn.Module
    x1: Tensor
    x2: Tensor | None
    asked: Asked
    chosen: Mapping[str, nn.Parameter]
    labels: Mapping[str, str]
    "Of the parameters chosen."

    def readout(self, found: Survey) -> Readout:
        """R, for as many outputs as were found."""
        return make_readout(self.asked.output, found.outputs, finest(self.chosen))

    def planned_as(self, readout: Readout) -> Hashable:
        """What is alike in questions of one program that have one plan."""
        asked = self.asked
        return (
            *(len(self.x1), tuple(self.labels.items())),
            *(readout.columns, readout.apart, readout.matrix.dtype),
            *(asked.method, asked.memory, asked.precision),
        )

    def work(self, plan: Plan, readout: Readout, found: Survey) -> Work:
        """What is to be computed for the answer."""
        policy = policy_mode(self.asked.batchnorm, self.model)
        return Work(self.model, self.x1, self.x2, readout, policy, self.chosen, found, plan)

    def again(self, kept: Kept | None) -> Work | None:
        """The same by what is kept of networks of the same program; None where nothing fits."""
        if kept is None:
            return None
        try:
            readout = self.readout(kept.survey)
        except ValueError:  # the survey may be another network's
            return None
        plan = kept.plans.get(self.planned_as(readout))
        plan = plan or next(plans(self, readout, kept.survey, {}, {}), None)
        if plan is None or plan.method not in CHECKED:
            return None
        return self.work(plan, readout, kept.survey)


CHECKED = ("structured",)
"Methods that check all that a survey tells."


def answer(
    model: nn.Module, x1: Tensor, x2: Tensor | None, asked: Asked, label: Callable[[str], str]
) -> dict[str, Kernel]:
    """Theta of each label that parameters have by their names; for the rest, see `ntk`."""
    model = differentiable(model, asked.batchnorm)
    chosen = chosen_parameters(model, told_own_names(model, asked.parameters))
    check_inputs(x1, x2, asked.batchnorm)
    own = own_name if isinstance(model, Called) else str
    labels = {name: label(own(name)) for name in chosen}
    with evaluating(model), as_written(x1):
        x1, x2 = plain(x1), None if x2 is None else plain(x2)
        failures: list[Exception] = []
        for work in _attempts(Question(model, x1, x2, asked, chosen, labels), failures):
            try:
                thetas = compute(work, labels)
                break
            except DEVICE_ERRORS:
                raise
            except Exception as error:  # torch.func has no errors of its own, networks have any
                failures.append(error)
        plan, factors = work.plan, coarsest(chosen.values())
        kernels = {
            name: rounded(theta, factors, ROUNDING[plan.precision], plan)
            for name, theta in thetas.items()
        }
        if not any(kernel.rounding.scale for kernel in kernels.values()):  # all are zero
            check_differentiable(model, x1, asked.batchnorm)
    log.info("%s", plan.reason)
    return kernels


def _attempts(question: Question, failures: list[Exception]) -> Iterator[Work]:
    """What to compute for an answer, the fastest first: by what is kept, then by a survey.

    Another is asked for only where one failed, and `failures` then has its error. What is kept of
    the network's program is forgotten where its passes failed.

    Raises:
        ValueError: no method is left.
    """
    model, x1, x2, asked, chosen, _ = question
    same = program(model, x1, asked.batchnorm) if x2 is None else None
    work = question.again(recall(same))
    if work is not None:
        keep(same, work.survey, question.planned_as(work.readout), work.plan)
        yield work
        forget(same)
        failures.clear()
    found, why = known(model, x1, x2, asked.batchnorm, chosen)
    readout = question.readout(found)
    refusals: dict[str, ValueError] = {}
    for plan in plans(question, readout, found, why, refusals):
        if plan.method in CHECKED:
            keep(same, found, question.planned_as(readout), plan)
        yield question.work(plan, readout, found)
        forget(same)
        error = failures.pop()
        coupled = isinstance(error, Coupled)
        if coupled and x2 is not None:
            raise ValueError(f"{error}: expected x2=None, got a second batch") from error
        failed = {plan.method, *(INDEPENDENT if coupled else ())}
        why |= dict.fromkeys(failed, first_line(error))
        refusals[plan.method] = _refusal(plan.method, asked, error)
    raise refusals["loop" if asked.method == "auto" else asked.method]


def plans(
    question: Question,
    readout: Readout,
    found: Survey,
    why: dict[str, str],
    refusals: dict[str, ValueError],
) -> Iterator[Plan]:
    """Plans to try, the fastest first; methods that fail meanwhile, `why` comes to name."""
    _, x1, x2, asked, chosen, labels = question
    if any(p.is_complex() for p in chosen.values()):
        why |= {method: "it has complex parameters" for method in METHODS if method != "loop"}
    problem = Problem(
        n=len(x1),
        m=None if x2 is None else len(x2),
        columns=readout.columns,
        apart=readout.apart,
        sizes={name: real_numbers(p) for name, p in chosen.items()},
        survey=found,
        tiles=len(set(labels.values())),
        width=max(4, readout.matrix.element_size()),
    )
    precision = precision_for(problem) if asked.precision == "auto" else asked.precision
    for choice in choices(problem, asked.method, why):
        try:
            yield make_plan(problem, choice, precision, asked.memory)
        except ValueError as error:
            refusals[choice.method], why[choice.method] = error, str(error)


def _refusal(method: str, asked: Asked, error: Exception) -> ValueError:
    """That a method, asked for or the last of all, cannot follow a network."""
    refusal = ValueError(
        f"method {method!r} cannot follow this network: {first_line(error)}; use method='auto'"
        if asked.method != "auto"
        else f"no method can follow this network, autograd's loop neither: {first_line(error)}"
    )
    clear_frames(error.__traceback__)  # else they hold their tensors while the next method runs
    refusal.__cause__ = error
    return refusal
