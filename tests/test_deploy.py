"""What `deploy` holds: its commands are ours, and its parts know each other by the same names."""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest
from parsing import Parse

from untrained.runs import ray_config
from untrained.runs.config import RunConfig

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
NODES = ("head", "worker", "driver")


def services() -> dict[str, str]:
    """The lines of each service, by name; a reader of YAML is not among what tests need."""
    [block] = re.findall(r"^services:\n(.*?)^\S", COMPOSE, re.MULTILINE | re.DOTALL)
    found = re.split(r"^  (\w+):\n", block, flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def command(service: str) -> list[str]:
    """The words that a service runs; a list in brackets is JSON too."""
    [words] = re.findall(r"^    command: (\[.*\])$", services()[service], re.MULTILINE)
    return list(json.loads(words))


def constraints() -> dict[str, str]:
    """Package -> its one version."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.M))


def test_the_drivers_command_is_one(parse: Parse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_config, "find_spec", lambda name: SimpleNamespace(origin="ray"))
    code, error, config = parse(*command("driver"))
    assert (code, error) == (0, "")
    assert isinstance(config, RunConfig)
    assert (config.engine, config.ray.address, config.out) == ("ray", "auto", Path("/runs"))
    store = services()["store"]
    user, name = (re.findall(rf"POSTGRES_{key}: (\w+)", store)[0] for key in ("USER", "DB"))
    assert config.store == f"postgresql+psycopg://{user}@store/{name}"


def test_nodes_know_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    port = command("head")[command("head").index("--port") + 1]
    worker = command("worker")
    assert worker[worker.index("--address") + 1] == f"head:{port}"
    assert re.findall(r"RAY_ADDRESS: (\S+)", COMPOSE) == [f"head:{port}"]


def test_every_node_has_one_image_made_of_pinned_versions() -> None:
    assert list(services()) == ["store", *NODES]
    assert all("<<: *node" in services()[node] for node in NODES)
    images = re.findall(r"^ +image: (\S+)$", COMPOSE, re.MULTILINE)
    assert len(images) == 2  # of the nodes and of the store
    assert all(":" in image or image == "untrained" for image in images)
    assert COMPOSE.count("dockerfile: deploy/Dockerfile") == 1
    [extras] = re.findall(r"--constraint constraints\.txt '\.\[(.*)\]'", DOCKERFILE)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {"postgresql", "ray"} <= {*extras.split(",")} <= {*project["optional-dependencies"]}
    [python] = re.findall(r"^ARG PYTHON=3\.(\d+)$", DOCKERFILE, re.MULTILINE)
    assert int(python) >= int(project["requires-python"].removeprefix(">=3."))


def test_the_page_names_the_version_of_ray_that_is_installed() -> None:
    page = (ROOT / "docs" / "cluster.md").read_text()
    version = constraints()["ray"]
    assert re.findall(r"rayVersion: (\S+)", page) == [version]
    assert {*re.findall(r"Ray (\d+\.\d+)", page)} == {version.rpartition(".")[0]}


def test_nothing_secret_is_in_the_files() -> None:
    """Whoever starts it says what is secret, or is told to."""
    secrets = re.findall(r"(?:PASSWORD|TOKEN): (.*)$", COMPOSE, re.MULTILINE)
    assert len(secrets) == 3
    assert all(re.fullmatch(r"\$\{[A-Z_]+:\?.*\}", secret) for secret in secrets)
    assert not re.search(r"://\w+:", COMPOSE)


def test_what_the_image_needs_is_sent_to_be_built() -> None:
    sent = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?:--\S+ )*(.*) \S+$", DOCKERFILE, re.MULTILINE)
    needed = [path for paths in copied for path in paths.split()]
    assert sorted(f"!{path}" for path in needed) == sorted(p for p in sent if p[0] == "!")
    assert all((ROOT / path).exists() for path in needed)


def test_a_driver_joins_before_it_runs(tmp_path: Path) -> None:
    for name in ("ray", "untrained"):
        said = f'#!/bin/sh\nprintf "{name}" >> said\nprintf " <%s>" "$@" >> said\necho >> said\n'
        (tmp_path / name).write_text(said)
        (tmp_path / name).chmod(0o755)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RAY_ADDRESS": "head:1"}
    asked = [str(DEPLOY / "on-cluster"), "search", "--images", "my pictures"]
    subprocess.run(asked, cwd=tmp_path, env=env, check=True)
    assert (tmp_path / "said").read_text().splitlines() == [
        "ray <start> <--address> <head:1> <--num-cpus> <0>",
        "untrained <search> <--images> <my pictures>",
    ]
