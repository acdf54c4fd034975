"""A network made linear in its parameters, around those that it has now.

    f_lin(x; theta) = f(x; theta_0) + J(x) (theta - theta_0),    J = d f / d theta at theta_0

Its tangent kernel is that of the network, whatever theta is, so that gradient descent on it is the
training in closed form of `analysis.descent`: what a network would do if its kernel stood still.

Source: Lee et al., NeurIPS 2019, https://arxiv.org/abs/1902.06720, section 2.2.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp

from untrained.networks.backends import unfused_attention


class Linearised(nn.Module):
    """A network that is linear in its parameters: `moved`, theta - theta_0, zero at first.

    The network is copied, and computes as in evaluation mode: dropout is off, and BatchNorm takes
    its running statistics. Frozen parameters stay so.
    """

    def __init__(self, network: nn.Module):
        """Around the parameters that the network has.

        Raises:
            ValueError: there are none to train.
        """
        super().__init__()
        self.network = deepcopy(network).eval()
        self.names = [n for n, p in self.network.named_parameters() if p.requires_grad]
        if not self.names:
            raise ValueError(
                "expected a network with parameters that require gradients, got none; "
                "requires_grad_() makes them"
            )
        parameters = dict(self.network.named_parameters())
        self.moved = nn.ParameterList([torch.zeros_like(parameters[n]) for n in self.names])
        self.network.requires_grad_(False)

    def train(self, mode: bool = True) -> "Linearised":
        """As any module, but for the network within."""
        super().train(mode)
        self.network.eval()
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """f(x; theta_0) + J(x) (theta - theta_0)."""
        there = dict(self.network.named_parameters())
        start = {name: there[name] for name in self.names}
        moved = dict(zip(self.names, self.moved, strict=True))

        def f(theta: Mapping[str, Tensor]) -> Any:
            return functional_call(self.network, dict(theta), args, kwargs)

        with unfused_attention():  # the other has no forward derivatives
            value, slope = jvp(f, (start,), (moved,))[:2]
        return value + slope


def linearised(network: nn.Module) -> Linearised:
    """The network, linear in its parameters around those that it has now.

    Args:
        network: any with outputs in one tensor; it is copied.

    Raises:
        ValueError: no parameter of it requires gradients.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
        >>> linear = linearised(network)
        >>> x = torch.randn(5, 2)
        >>> torch.equal(linear(x), network(x))
        True
        >>> sum(p.numel() for p in linear.parameters() if p.requires_grad)  # as many as before
        33
    """
    return Linearised(network)
