"""What is computed once: probes for all architectures, what there is to draw for all draws."""

import pytest
import torch
from torch import nn

from untrained.images import ProbeSpec, draw_probe, load_images
from untrained.networks import draw_weights
from untrained.networks.weights import Initialisation
from untrained.runs.readings import PROBES, probe_of
from untrained.runs.streams import stream
from untrained.runs.tasks import redrawn

SPEC = ProbeSpec(count=5, patch=3)


def test_a_kept_probe_is_the_one_that_is_drawn() -> None:
    images = load_images("digits")
    for draw in [*range(PROBES + 3), *range(PROBES + 3)]:
        drawn = draw_probe(images, SPEC, stream(draw, "probe"))
        kept = probe_of(images, SPEC, draw, "cpu")
        assert torch.equal(kept.inputs, drawn.inputs)
        assert torch.equal(kept.labels, drawn.labels)
        assert (kept.classes, kept.origin) == (drawn.classes, drawn.origin)


def test_who_changes_a_probe_changes_no_other() -> None:
    images = load_images("digits")
    first = probe_of(images, SPEC, 0, "cpu")
    before = first.inputs.clone(), first.labels.clone()
    first.inputs.zero_()
    first.labels.zero_()
    second = probe_of(images, SPEC, 0, "cpu")
    assert torch.equal(second.inputs, before[0])
    assert torch.equal(second.labels, before[1])


def network() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))


X = torch.ones(2, 4)


def test_later_draws_are_as_if_each_were_the_first() -> None:
    net, initialisation = network(), None
    for draw in range(4):
        if draw == 2:  # what a score replaces is drawn none the less
            net[0].weight = nn.Parameter(torch.ones(6, 4))
        if draw == 3:
            net[3] = nn.Linear(6, 2)
        before, initialisation = (
            initialisation,
            redrawn(net, "kaiming_fan_in", X, draw, initialisation),
        )
        assert (initialisation is before) == (draw == 1)
        alone = network()
        draw_weights(alone, "kaiming_fan_in", stream(draw, "weights"))
        for ours, theirs in zip(
            net.state_dict().values(), alone.state_dict().values(), strict=True
        ):
            assert torch.equal(ours, theirs)


class WithToken(nn.Module):
    """A class token, as vision transformers have: images of another size never come to it."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.head = nn.Parameter(torch.full((1, 1, 3), 5.0)), nn.Linear(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        patches = x.view(len(x), 7, 3)
        return self.head(torch.cat([self.token.expand(len(x), -1, -1), patches], 1).mean(1))


def test_what_only_an_example_tells_is_drawn_too() -> None:
    """The token stays, as what meets the examples entry by entry."""
    net, linear = WithToken(), nn.ModuleDict({"head": nn.Linear(3, 2)})
    with pytest.raises(ValueError, match=r"what 'token' .* is not understood"):
        draw_weights(net, "kaiming_fan_in", stream(0, "weights"))
    redrawn(net, "kaiming_fan_in", torch.zeros(2, 21), 0, None)
    draw_weights(linear, "kaiming_fan_in", stream(0, "weights"))
    assert torch.equal(net.head.weight, linear.get_parameter("head.weight"))
    assert (net.token == 5).all()


def test_what_there_is_to_draw_is_of_one_network() -> None:
    net = network()
    initialisation = Initialisation.of(net, "orthogonal")
    assert initialisation.holds(net)
    assert not initialisation.holds(network())
    assert not initialisation.holds(net[:3])
