"""Questions and their keys: against text written by hand, since stores hold keys for years."""

import json
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

import pytest

from untrained.images import Images
from untrained.runs import RunConfig, run
from untrained.runs.engines import Serial
from untrained.runs.identity import digest, question
from untrained.runs.measuring import Measuring
from untrained.runs.presets import resolve
from untrained.runs.setup import make_setups
from untrained.searchers import Proposal
from untrained.spaces import get_space
from untrained.storage.store import Store

SPACE = get_space("nasbench201")
CELL = (
    "|skip_connect~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+"
    "|skip_connect~0|nor_conv_1x1~1|avg_pool_3x3~2|"
)
"Its own canonical form."


def key(text: str) -> str:
    return blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(frozen=True)
class Inner:
    rate: float


@dataclass(frozen=True)
class Outer:
    inner: Inner
    name: str | None


class Spec(NamedTuple):
    outer: Outer
    whole: bool


def test_a_question_is_values_that_json_holds() -> None:
    outer = Outer(Inner(0.5), None)
    asked = question(images="abc", device="cpu", version="1", spec=Spec(outer, True), outer=outer)
    text = (
        '{"device": "cpu", "images": "abc", "outer": {"inner": {"rate": 0.5}, "name": null}, '
        '"spec": [{"inner": {"rate": 0.5}, "name": null}, true], "version": "1"}'
    )
    assert json.loads(json.dumps(asked)) == asked == json.loads(text)
    assert digest(asked) == key(text)


Asking = Callable[..., Measuring]


@pytest.fixture
def measuring(digits: Images, tmp_path: Path) -> Iterator[Asking]:
    """Of the scores of these names, by the code named `1`; it measures nothing."""
    with Store.open(tmp_path / "store.db") as store:

        def of(*scores: str) -> Measuring:
            config = resolve(RunConfig(scores=scores, seed=2))
            setups = make_setups(SPACE, config)
            engine = Serial(digits, nullcontext)
            found = Measuring("run", config, SPACE, setups, digits, store, engine)
            vars(found)["versions"] = dict.fromkeys(scores, "1")
            return found

        yield of


def test_a_measurement_has_the_key_that_it_always_had(measuring: Asking, digits: Images) -> None:
    asking = measuring("linear_regions")
    scale = '{"cells": 1, "channels": 1, "stages": 1, "stem": false}'
    probe = (
        '{"at_most": false, "augment": false, "count": 3000, "one_channel": true, "patch": 3, '
        '"split": "train"}'
    )
    score = '{"batches": 1, "batchnorm": "batch"}'
    text = (
        f'{{"architecture": "{CELL}", "device": "cpu", "draw": 1441440007, '
        f'"images": "{digits.fingerprint}", "setup": {{"name": "linear_regions", '
        f'"probe": {probe}, "redraw": 1, "scale": {scale}, "score": {score}, '
        f'"short_training": null, "weights": "kaiming_fan_in"}}, "space": "nasbench201", '
        f'"version": "1"}}'
    )
    proposal = Proposal(SPACE.parse(CELL), (7,), "")
    assert asking.keys(proposal) == {"linear_regions": [key(text)]}


def test_epochs_that_a_searcher_asks_for_are_part_of_the_question(measuring: Asking) -> None:
    asking = measuring("label_alignment@3", "parameters")
    columns = {
        epochs: asking.keys(Proposal(SPACE.parse(CELL), (0,), "", epochs=epochs))
        for epochs in (1, 3, None, 1)
    }
    assert columns[3] == columns[None]
    assert columns[1]["label_alignment@3"] != columns[3]["label_alignment@3"]
    assert columns[1]["parameters"] == columns[3]["parameters"]
    for epochs in (1, 3):
        [setup, _] = asking.shown(Proposal(SPACE.parse(CELL), (0,), "", epochs=epochs))
        assert asking.asked(CELL, setup, 0)["setup"] == asdict(setup)


def test_what_is_asked_does_not_travel_to_workers(measuring: Asking) -> None:
    asking = measuring("linear_regions", "label_alignment@3")
    before = pickle.dumps(asking.setups)
    asking.keys(Proposal(SPACE.parse(CELL), (0,), ""))
    assert pickle.dumps(asking.setups) == before


@pytest.mark.usefixtures("without_graphs")
def test_every_key_in_a_store_is_that_of_the_question_beside_it(tmp_path: Path) -> None:
    config = RunConfig(
        searcher="given", options={"architectures": CELL}, scores=("parameters", "macs"),
        draws=2, workers=0, out=tmp_path,
    )  # fmt: skip
    with sqlite3.connect(run(config).store) as connection:
        rows = connection.execute("select key, question from measurements").fetchall()
    connection.close()
    assert len(rows) == 2
    for found, asked in rows:
        assert found == key(json.dumps(json.loads(asked), sort_keys=True))
