"""What is known of a network before its passes, by a survey or without one."""

from collections.abc import Mapping

from torch import Tensor, nn

from untrained.kernels.choice import INDEPENDENT
from untrained.kernels.unsurveyed import unsurveyed
from untrained.kernels.verification import apart
from untrained.layerwise.influence import Coupled
from untrained.layerwise.layers import LAYERS
from untrained.layerwise.survey import Survey, survey
from untrained.networks.batchnorm import policy_mode
from untrained.networks.choices import Policy
from untrained.networks.foreign import DEVICE_ERRORS


def known(
    model: nn.Module,
    x1: Tensor,
    x2: Tensor | None,
    batchnorm: Policy,
    chosen: Mapping[str, nn.Parameter],
    in_parts: bool = False,
) -> tuple[Survey, dict[str, str]]:
    """What is known of a network, surveyed or not, and why some methods do not apply to it.

    Args:
        model: in `eval` mode.
        x1: examples.
        x2: those of a second batch, which must be independent of the first.
        batchnorm: the policy.
        chosen: the parameters asked for.
        in_parts: whether the examples of x1 are to be shown in parts, for the same condition.

    Raises:
        ValueError: inputs that the network does not take, outputs that are not one tensor with a
            row for each example, or examples that depend on each other where they must not.
    """
    try:
        found, why = surveyed(model, x1, batchnorm, chosen)
        together = x2 is not None and not apart(model, x1, x2, batchnorm)
    except DEVICE_ERRORS:
        raise
    except Exception as error:  # a network's own code may raise anything at all
        half = len(x1) // 2
        halves = (x1[: len(x1) - half], x1[half:]) if in_parts else None
        parts = halves if x2 is None else (x1, x2)
        found, why = unsurveyed(model, x1, parts, policy_mode(batchnorm, model), chosen, error)
        together = False
    if together or (found.coupled and (in_parts or x2 is not None)):
        raise ValueError(
            f"{Coupled()}: expected chunk=None and x2=None, got "
            + ("parts of one batch" if x2 is None else "a second batch")
        )
    return found, why


def surveyed(
    model: nn.Module, x: Tensor, batchnorm: Policy, chosen: Mapping[str, nn.Parameter]
) -> tuple[Survey, dict[str, str]]:
    """What a few examples show of the network, and why some methods do not apply to it.

    Kept for another call as a hint alone (see `recent`): a network may have changed unseen.
    """
    found = survey(model, x, policy_mode(batchnorm, model), LAYERS)
    if found.coupled:
        return found, dict.fromkeys(INDEPENDENT, str(Coupled()))
    for name, parameter in chosen.items():
        if parameter._backward_hooks:
            return found, {"structured": f"a hook changes the gradient of parameter {name!r}"}
    return found, {"structured": found.obstacle} if found.obstacle else {}
