"""Several GPUs, which local workers take in turn; with a stand-in, since there is none here."""

import os
from collections import Counter
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

from untrained.images import Images, Probe, ProbeSpec
from untrained.runs.devices import VISIBLE, shared_devices
from untrained.runs.engines import start_engine
from untrained.runs.pool import Pool
from untrained.runs.setup import make_setup
from untrained.runs.tasks import ScoreTask
from untrained.scores import Reading, Score
from untrained.spaces import get_space

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|nor_conv_1x1~1|none~2|"


@dataclass(frozen=True)
class Visible(Score):
    """Which GPU its process sees."""

    higher_is_better: ClassVar = True
    network: ClassVar = "thin"
    probe: ClassVar = ProbeSpec(count=1)

    def __call__(self, network: nn.Module, probe: Probe, generator: torch.Generator) -> Reading:
        return Reading(float(os.environ[VISIBLE]))


@pytest.mark.parametrize(
    ("device", "there", "named", "expected"),
    [
        ("cuda", 3, None, ("0", "1", "2")),
        ("cuda", 2, "5,GPU-8932f937", ("5", "GPU-8932f937")),
        ("cuda", 2, "1,0,-1,3", ("1", "0")),  # CUDA stops at what is no device
        ("cuda", 1, None, ()),
        ("cuda", 0, None, ()),
        ("cuda:1", 3, None, ()),
        ("cpu", 3, None, ()),
    ],
)
def test_which_gpus_are_shared(
    device: str,
    there: int,
    named: str | None,
    expected: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.delenv(VISIBLE, raising=False)
    if named is not None:
        monkeypatch.setenv(VISIBLE, named)
    assert shared_devices(device) == expected


def test_a_new_worker_takes_the_gpu_that_the_fewest_have() -> None:
    pool = Pool(5, (), None, ("0", "1"))
    workers: list[Any] = []
    for _ in range(5):
        workers.append(SimpleNamespace(visible=pool.least_used()))
        pool.idle = workers
    assert Counter(worker.visible for worker in workers) == {"0": 3, "1": 2}
    del workers[0], workers[1]  # both of the first: lost
    assert [worker.visible for worker in workers] == ["1", "1", "0"]
    assert pool.least_used() == "0"
    assert Pool(1, (), None).least_used() is None


def test_each_worker_sees_its_own(digits: Images, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv(VISIBLE, raising=False)
    space = get_space("nasbench201")
    setup = make_setup("test_shared_devices:Visible", space, {})
    task = ScoreTask("nasbench201", CELL, (setup,), (0,), "cpu")
    with start_engine(2, digits, device="cuda") as engine:
        found = [outcome for _, outcome in engine([task] * 2)]
    assert VISIBLE not in os.environ
    assert {outcome[0][0].reading.value for outcome in found} == {0.0, 1.0}  # type: ignore[index]
