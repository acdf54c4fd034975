"""What is made of parameters alone, by one call or several, against autograd's loop."""

import pytest
import torch
import torch.nn.functional as F
from compare import deviation
from torch import Tensor
from zoo import Net, Step

from untrained.kernels.ntk import ntk
from untrained.layerwise.derivation import Derivation
from untrained.networks.places import Unstructured


def changed_in_place(m: Net, x: Tensor) -> Tensor:
    weight = m.a * 1
    y = F.linear(x, weight)
    weight *= m.b
    return y + F.linear(x, weight)


STEPS: dict[str, tuple[Step, str]] = {
    "a chain": (lambda m, x: F.linear(x, (m.a / m.a.norm()).T.contiguous()), "structured"),
    "of two": (lambda m, x: x @ (m.a * m.b) + (m.a @ m.b)[0], "structured"),
    "one that others are made of": (
        lambda m, x: F.linear(F.linear(x, w := m.a * m.b).tanh(), w.T) + w.sum(0),
        "structured",
    ),
    "as large as the examples shown": (
        lambda m, x: (x[:, None] * m.b[0].expand(3, 4)).sum(1).tanh() @ m.a,
        "structured",
    ),
    "without a gradient": (lambda m, x: F.linear(x, m.a.detach() * 2 + m.b), "structured"),
    "changed in place": (changed_in_place, ""),
}


@pytest.mark.parametrize("name", STEPS)
def test_kernels(name: str) -> None:
    torch.manual_seed(0)
    step, method = STEPS[name]
    model = Net(step, a=torch.randn(4, 4), b=torch.randn(4, 4)).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    for output in ("sum", "full"):
        found = ntk(model, x, output=output)
        assert deviation(found, ntk(model, x, output=output, method="loop")) < 1e-12
        assert found.plan.method == method or not method


def test_gradients_that_do_not_add_up_are_refused() -> None:
    class Scaled(torch.autograd.Function):
        """Its gradient is not linear."""

        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return 2 * x

        @staticmethod
        def backward(ctx: object, *gradients: Tensor) -> Tensor:
            return gradients[0].square()

    theta = torch.randn(3, dtype=torch.float64, requires_grad=True)
    rows = torch.randn(5, 3, dtype=torch.float64)
    with pytest.raises(Unstructured, match="not understood"):
        Derivation(Scaled.apply(theta), {"theta": theta}).pulled_back(rows)
    found = Derivation(theta**2, {"theta": theta}).pulled_back(rows)
    torch.testing.assert_close(found["theta"], 2 * theta.detach() * rows)
