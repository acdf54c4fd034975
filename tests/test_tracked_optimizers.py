"""The kernel that an optimizer uses, tracked: one small step of it moves outputs so."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import untrained
from untrained.images import Images
from untrained.kernels import sign_scales
from untrained.runs.streams import stream
from untrained.tracking.config import Tracking
from untrained.tracking.snapshots import draw_tracked_images
from untrained.tracking.track import Track

RATE = 1e-5


def make_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(3 * 36, 10)
    ).eval()


def sgd(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), RATE)


def adam(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(network.parameters(), RATE, betas=(0.0, 0.999999))


def adamw(network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.0, betas=(0.0, 0.999999))


def signs(network: nn.Module) -> torch.optim.Optimizer:
    return Signs(network.parameters(), {"lr": RATE})


class Signs(torch.optim.Optimizer):
    """Sign descent."""

    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                p.data -= group["lr"] * p.grad.sign()


def tracked(
    images: Images, make: Callable[[nn.Module], torch.optim.Optimizer], steps: int
) -> tuple[Track, Tensor, Tensor]:
    """A tracking just before and just after a step; the gradient of the loss to the outputs
    before it, and what the step adds to them; all of summed logits, on the probe."""
    network = make_network()
    optimizer = make(network)
    shown = draw_tracked_images(images, Tracking(probe=20, support=0), stream(0, "tracking")).probe
    x = images.normalise(shown.pixels)
    y = torch.linspace(-1, 1, 20)
    tracker = untrained.Tracker(
        images,
        probe=20,
        support=0,
        held_out=10,
        parameters="all",
        batchnorm="running",
        optimizer=sign_scales if isinstance(optimizer, Signs) else optimizer,
    )
    for last in [False] * steps + [True]:
        optimizer.zero_grad()
        before = network(x).sum(1)
        ((before - y).square().sum() / 2).backward()
        if last:
            tracker(network)
        optimizer.step()
    tracker(network)
    return tracker.tracked.track, (before - y).detach(), (network(x).sum(1) - before).detach()


@pytest.mark.parametrize("steps", [0, 3])
@pytest.mark.parametrize("make", [sgd, adam, adamw, signs])
def test_a_small_step_moves_outputs_as_the_tracked_kernel_says(
    digits: Images, make: Callable[[nn.Module], torch.optim.Optimizer], steps: int
) -> None:
    found, slope, moved = tracked(digits, make, steps)
    expected = -RATE * found.kernels[0] @ slope
    assert (moved - expected).norm() < 0.02 * expected.norm()
    names = [share.layer for share in found.snapshots[0].by_layer]
    assert names == ["0", "1", "4"]


def test_the_page_says_of_which_optimizer(digits: Images, tmp_path: object) -> None:
    network = make_network()
    optimizer = adam(network)
    tracker = untrained.Tracker(digits, probe=20, support=20, held_out=10, optimizer=optimizer)
    network(digits.normalise(digits.train.pixels[:20])).sum().backward()
    tracker(network)
    assert tracker.tracked.track.optimizer == "Adam"
    page = tracker.tracked.report(f"{tmp_path}/page.html")
    assert "P the scales of Adam" in page.read_text(encoding="utf-8")


def test_what_has_no_scales_is_refused(digits: Images) -> None:
    network = make_network()
    with pytest.raises(ValueError, match="optimizer: expected SGD, Adam or AdamW, got RMSprop"):
        untrained.Tracker(digits, optimizer=torch.optim.RMSprop(network.parameters()))
    early = untrained.Tracker(digits, optimizer=adam(network))
    with pytest.raises(ValueError, match=r"call it after loss.backward\(\)"):
        early(network)
