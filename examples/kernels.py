"""The NTK of a network, its spectrum, its NNGP, and what either predicts before any training."""

import torch
from torch import nn

from untrained import (
    ProbeSpec,
    draw_weights,
    load_images,
    nngp,
    ntk,
    ntk_contributions,
    regression,
    spectrum,
)
from untrained.images import draw_probe


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


probe = draw_probe(load_images("digits"), ProbeSpec(count=200), seeded())
x, labels = probe.inputs, probe.labels

net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1),
    nn.ReLU(),
    nn.Conv2d(16, 16, 3, padding=1),
    nn.ReLU(),
    nn.Flatten(),
    nn.Linear(16 * 64, 10),
)
draw_weights(net, "kaiming_fan_in", seeded(1))

theta = ntk(net, x)
print("NTK", tuple(theta.shape), theta.dtype, "by the method", theta.plan.method)

found = spectrum(theta)
kappa, rank = found.condition_number, found.effective_rank
print("condition number", found.reason if kappa is None else f"{kappa:,.0f}")
print("effective rank", found.degenerate if rank is None else f"{rank:.2f}")

for name, part in ntk_contributions(net, x[:50]).items():
    print("share of layer", name, f"{float(part.trace() / theta[:50, :50].trace()):.2f}")

limit = nngp(net, x, generator=seeded(2), draws=4)
for name, kernel in (("NTK", theta), ("NNGP", limit.mean)):
    fit = regression(kernel, labels)
    left_out = fit.leave_one_out.accuracy
    assert left_out is not None  # it is for targets of one column
    print(name, f"leave-one-out accuracy {float(left_out[fit.best()]):.2f}")
