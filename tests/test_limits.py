"""Searches within limits: nothing over them is measured, and nobody can meet some."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from test_cli import Command, command
from torch import nn

from untrained.images import load_images
from untrained.pages import report_run
from untrained.runs import RunConfig, load_record, run
from untrained.runs.driver import opened
from untrained.runs.limit import Limit, parse_limits, shown
from untrained.runs.presets import resolve
from untrained.scores.size import MultiplyAdds
from untrained.searchers import SEARCHERS
from untrained.spaces import get_space
from untrained.storage import RunFolder
from untrained.tables import at_hand

__all__ = ["command"]  # a fixture

SPACE = get_space("nasbench201")
FEW: dict[str, Any] = {"evaluations": 10}
needs_table = pytest.mark.skipif(
    at_hand("nasbench201_hardware.parquet") is None, reason="needs HW-NAS-Bench's table"
)


def asked(out: Path, *limits: str, **changes: Any) -> RunConfig:
    """Small networks, and a score that takes no time."""
    settings: dict[str, Any] = {
        "searcher": "random", "options": FEW, "scores": ("effective_depth",), "draws": 1,
        "workers": 0, "out": out, "scale": "small", "limit": limits, **changes,
    }  # fmt: skip
    return RunConfig(**settings)


def network(text: str, scale: str = "small") -> nn.Module:
    """That would be trained."""
    canonical = SPACE.canonical(SPACE.parse(text))
    return SPACE.build(canonical, SPACE.scales[scale], inputs=(1, 8, 8), classes=10)


def parameters(text: str) -> int:
    return sum(p.numel() for p in network(text).parameters())


def tried(folder: RunFolder) -> list[str]:
    trials = load_record(folder.store, folder.name).trials
    return [t.architecture for t in trials if not SPACE.parse(t.architecture).partial]


LEAST = parameters("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")


@pytest.mark.parametrize("searcher", sorted(set(SEARCHERS) - {"given", "halving", "nasi"}))
def test_nothing_over_a_limit_is_tried(searcher: str, tmp_path: Path) -> None:
    limit = LEAST + 500
    options = {} if searcher == "pruning" else FEW
    scores = ("trainable_layers",) if searcher == "pruning" else ("effective_depth", "synflow")
    folder = run(
        asked(tmp_path, f"parameters={limit}", searcher=searcher, options=options, scores=scores)
    )
    found = tried(folder)
    record = load_record(folder.store, folder.name)
    assert record.selected is not None
    assert parameters(record.selected) <= limit
    if searcher != "pruning":
        assert len(found) == 10
        assert max(map(parameters, found)) <= limit
    assert record.limited is not None
    assert record.limited.within < record.limited.drawn == 200


def test_multiply_adds_are_those_of_the_network_that_would_be_trained(tmp_path: Path) -> None:
    folder = run(asked(tmp_path, "macs=20k", "parameters=1M"))
    digits = load_images("digits")
    for text in tried(folder):
        probe = None
        from untrained.images import ProbeSpec, draw_probe
        from untrained.runs.streams import stream

        probe = draw_probe(digits, ProbeSpec(count=1), stream("any"))
        macs = MultiplyAdds()(network(text), probe, stream("any")).value
        assert macs is not None
        assert macs <= 20_000


def test_random_networks_beside_the_selected_one_are_within(
    tmp_path: Path, without_graphs: None
) -> None:
    from untrained.training import TrainingSpec

    spec = TrainingSpec(epochs=1, images=64)
    limit = LEAST + 500
    config = asked(tmp_path, f"parameters={limit}", train=True, compare=3, training=spec)
    folder = run(config)
    trainings = load_record(folder.store, folder.name).trainings
    assert len(trainings) == 4
    assert all(training.parameters <= limit for training in trainings)


def stopping(at: int) -> Callable[[Any], None]:
    """Ends a run in its second batch, or later."""

    def watch(progress: Any) -> None:
        if "batch 2" in progress.phase and progress.done >= at:
            raise KeyboardInterrupt

    return watch


def test_a_run_that_is_stopped_decides_the_same(tmp_path: Path) -> None:
    """By latency, which no two timings agree on: each network is timed once."""
    whole = asked(tmp_path / "whole", "memory=100kB", "latency=60s", "parameters=50k")
    expected = tried(run(whole))
    stopped = asked(tmp_path / "stopped", "memory=100kB", "latency=60s", "parameters=50k")
    with pytest.raises(KeyboardInterrupt):
        run(stopped, stopping(1))
    folder = run(stopped)
    assert tried(folder) == expected
    with sqlite3.connect(folder.store) as store:
        rows = store.execute("select score, sum(times), count(*) from measurements group by score")
        counts = {score: (times, count) for score, times, count in rows}
    assert counts["latency"][0] == counts["latency"][1] >= 10
    assert counts["memory"][1] >= counts["latency"][1]  # the cheaper one first


def test_it_is_another_search_at_another_scale(tmp_path: Path) -> None:
    def identity(*limits: str, **changes: Any) -> str:
        return resolve(asked(tmp_path, *limits, **changes)).identity("images", "code")

    assert identity() == identity(scale="full")
    assert identity("macs=1M") != identity("macs=1M", scale="full")
    assert identity("macs=1M") != identity("macs=2M") != identity()


def test_it_is_told_and_shown(tmp_path: Path, command: Command) -> None:
    code, out, _ = command(
        "search", "--searcher", "random", "--options.evaluations", "3", "--scores", "macs",
        "--draws", "1", "--workers", "0", "--out", str(tmp_path), "--limit", "parameters=100k",
        "macs=9M",
    )  # fmt: skip
    assert code == 0
    told = "Limits: parameters at most 100,000, macs at most 9,000,000."
    assert told in " ".join(out.split())
    [page] = tmp_path.glob("*/report.html")
    assert told in page.read_text("utf-8")


@needs_table
def test_of_another_device_by_its_table(tmp_path: Path) -> None:
    from untrained.tables.hardware import of_device

    folder = run(asked(tmp_path, "latency:pixel3=5ms", "energy:eyeriss=1mJ", scale="full"))
    latency, energy = of_device("latency", "pixel3"), of_device("energy", "eyeriss")
    assert len(latency) == 15_625
    measured = of_device("latency", "edgetpu")
    assert len(measured) == 15_625 - 4_699
    assert min(measured.values()) > 0
    found = [str(SPACE.canonical(SPACE.parse(text))) for text in tried(folder)]
    assert len(found) == 10
    assert all(latency[text] <= 0.005 and energy[text] <= 0.001 for text in found)


def test_sampling_where_one_in_a_hundred_is_within(tmp_path: Path) -> None:
    """All of a thousand are within, and they differ."""
    sizes = sorted(parameters(str(SPACE.sample(random.Random(i)))) for i in range(300))
    with opened(asked(tmp_path, f"parameters={sizes[3]}")) as session:
        rng = random.Random(0)
        drawn = [session.eligible.sample(rng) for _ in range(1000)]
    assert max(map(parameters, map(str, set(drawn)))) <= sizes[3]
    assert len(set(drawn)) > 50


# What nobody can meet, and wrong use


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (("parameters=10",), "found none: the nearest, .*, has parameters [0-9,]+; raise the"),
        (("parameters=1M", "macs=1"), "found none: the nearest, .*and macs [0-9,]+; raise"),
        (("latency=1us", "parameters=5k"), "has latency .* [mu]?s; raise the limit"),
        (("memory=10B",), "memory at most 10 B, found none: the nearest, .*, has memory .* kB"),
    ],
)
def test_a_limit_that_nobody_can_meet(tmp_path: Path, limits: tuple[str], said: str) -> None:
    """Before any score is measured."""
    with pytest.raises(ValueError, match=said) as raised:
        run(asked(tmp_path, *limits))
    assert "\n" not in str(raised.value)
    with sqlite3.connect(tmp_path / "store.db") as store:
        [(count,)] = store.execute(
            "select count(*) from measurements where score = 'effective_depth'"
        )
    assert count == 0


def test_a_named_architecture_over_a_limit(tmp_path: Path) -> None:
    text = "|nor_conv_3x3~0|+|nor_conv_3x3~0|none~1|+|nor_conv_3x3~0|none~1|none~2|"
    given = {"searcher": "given", "options": {"architectures": text}}
    with pytest.raises(ValueError, match=r"limit: expected architectures within .* which has par"):
        run(asked(tmp_path, "parameters=1k", **given))
    assert tried(run(asked(tmp_path, "parameters=1M", **given))) == [text]


@pytest.mark.parametrize(
    ("limit", "said"),
    [
        ("parameters", "such as parameters=100k or latency=5ms, got 'parameters'"),
        ("=5", "expected a quantity and the most of it"),
        ("parameter=5k", "unknown quantity 'parameter': expected parameters, or"),
        ("speed=5k", "unknown quantity 'speed': expected parameters, macs, memory"),
        ("speed:pixel3=5ms", "unknown quantity 'speed:pixel3'"),
        ("latency=5", r"with a unit \(us, ms, s\), such as 5ms, got 'latency=5'"),
        ("latency=5MB", "such as 5ms, got 'latency=5MB'"),
        ("memory=5ms", r"\(B, kB, MB, GB, KiB, MiB, GiB\), such as 100MB or 64MiB"),
        ("parameters=5m", r"\(none, k, M, G, T\), such as 100k or 2.5M, got 'parameters=5m'"),
        ("parameters=many", "such as 100k or 2.5M, got 'parameters=many'"),
        ("parameters=-1", "above 0 with a unit"),
        ("parameters=0", "expected parameters above 0, got 'parameters=0'"),
        ("parameters=1e999", "expected parameters above 0, got"),
        ("latency:pixel4=5ms", "latency:pixel4: expected one of edgegpu, .*got 'pixel4'"),
    ],
)
def test_what_makes_no_sense_is_told_in_a_line(tmp_path: Path, limit: str, said: str) -> None:
    """Before images are loaded."""
    with pytest.raises(ValueError, match=said) as raised:
        run(asked(tmp_path, limit, images=str(tmp_path / "nowhere"), scale="full"))
    assert "\n" not in str(raised.value)


def test_of_a_device_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the space 'nasbench201', of which there is"):
        run(asked(tmp_path, "latency:pixel3=5ms", space="mnas"))
    with pytest.raises(ValueError, match="expected networks of the full scale"):
        run(asked(tmp_path, "latency:pixel3=5ms"))


def test_each_quantity_once() -> None:
    with pytest.raises(ValueError, match="expected each quantity once, got macs twice"):
        parse_limits(("macs=4M", "parameters=1k", "macs=5M"))


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("parameters=100k", 1e5),
        ("macs = 2.5 M", 2.5e6),
        ("latency=5ms", 0.005),
        ("latency_onnx_32=.5s", 0.5),
        ("latency:raspi4=800us", 8e-4),
        ("energy:fpga=2mJ", 2e-3),
        ("memory=64MiB", 2.0**26),
        ("training_memory=1e3kB", 1e6),
    ],
)
def test_amounts(text: str, most: float) -> None:
    assert Limit.parse(text).most == pytest.approx(most, rel=1e-12)


def test_how_amounts_are_shown() -> None:
    assert shown("macs", 15e6) == "15,000,000"
    assert shown("latency", 1e-7) == "0.1 us"
    assert shown("memory", 999.0) == "999 B"
    assert shown("latency:pixel3", 2.5) == "2.5 s"


def test_a_page_of_a_run_without_limits_says_nothing_of_them(tmp_path: Path) -> None:
    page = report_run(run(asked(tmp_path, options={"evaluations": 2})))
    assert "What was searched" not in page.read_text("utf-8")
