"""Workers, drivers and a store as queues: a discrete-event simulation of a sweep on a cluster.

A worker is given a message with k tasks, does them, answers, and waits for the next. Its driver
sees to one message at a time, in the order in which workers are free, and waits for the store
where that is a server, which all drivers share.
"""

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from math import exp, inf, log
from typing import NamedTuple


@dataclass(frozen=True)
class Engine:
    """What it costs to send tasks and to fetch what they come to, in seconds."""

    driver_message: float
    driver_task: float
    worker_message: float
    worker_task: float


@dataclass(frozen=True)
class Backend:
    """What a sweep costs beside its tasks: proposals, keys, claims and rows, in seconds."""

    driver_task: float
    driver_measurement: float
    server_task: float = 0.0
    server_measurement: float = 0.0


PROCESSES = Engine(0.23e-3, 0.02e-3, 0.0, 0.3e-3)
RAY = Engine(1.33e-3, 0.02e-3, 3.7e-3, 0.3e-3)
"""What `benchmarks/engines.py` gave on two free cores (docs/cluster.md): the driver computes .2
to .3 ms for a task with processes, and 1.0 to 1.7 ms with Ray; an engine adds .3 ms with a process
and 4.0 ms with a Ray worker. One more task in a message costs its pickling, .01 ms, and, in a
worker, the process in which networks are measured."""

FILE = Backend(0.078e-3, 0.079e-3)
SERVER = Backend(0.152e-3, 0.146e-3, 0.052e-3, 0.046e-3)
"""SQLite and PostgreSQL: what `benchmarks/sweeps.py` gave, in the processor of the driver (.157
and .298 ms for an architecture with one measurement, 1.03 and 1.90 with twelve) and of the server
(.098 and .603)."""


@dataclass(frozen=True)
class Plan:
    """A sweep on a cluster."""

    workers: int
    seconds: float
    "Of a task, on average."
    engine: Engine
    backend: Backend
    drivers: int = 1
    message: int = 1
    "Tasks in one."
    measurements: int = 1
    "Of a task: scores x draws."
    spread: float = 0.0
    """Standard deviation of the logarithm of a task's seconds, which are lognormal; `inf` for
    exponential ones."""
    cores: int = 1
    "Of the store's server."
    window: int | None = None
    "Tasks that a driver has before it, the last of which it awaits; None for no end."
    lost: float = 0.0
    "Share of workers that are lost in an hour; another comes after `REPLACED` seconds."


REPLACED = 60.0
"Seconds from a worker that is lost to another in its place."


class Found(NamedTuple):
    """What a plan comes to, once it is under way."""

    rate: float
    "Tasks a second."
    efficiency: float
    "Share of the workers' time in which they do tasks that count."
    driver: float
    "Share of its time in which a driver is at work, or waits for the store."
    server: float
    "The same of the store's server, of all its cores."
    waited: float
    "Seconds for which a worker that is free waits for its driver to turn to it, on average."


def simulate(plan: Plan, *, cycles: float = 20.0, seed: int = 0) -> Found:
    """The plan for so many times as long as a worker takes for a message; a quarter of it is not
    counted. Workers begin at random moments of the first of these times."""
    queues = Queues(plan, random.Random(seed))
    cost = queues.driver_seconds + queues.server_seconds
    cycle = max(plan.message * plan.seconds + cost, cost * plan.workers / plan.drivers)
    for worker in range(plan.workers):
        queues.add(queues.rng.uniform(0, cycle), "free", worker)
    return queues.run(cycles * cycle / 4, cycles * cycle)


@dataclass
class Driver:
    """One, and the workers that wait for it, with when they were free."""

    waiting: deque[tuple[float, int]] = field(default_factory=deque)
    busy: bool = False
    left: float = inf
    "Tasks of the window that are not handed out."
    out: int = 0
    "Messages that are."


@dataclass
class Tally:
    """What happens from some moment on."""

    tasks: int = 0
    messages: int = 0
    driving: float = 0.0
    "Seconds of all drivers."
    serving: float = 0.0
    "Seconds of all the server's cores."
    waited: float = 0.0
    "Seconds for which workers waited for a driver."


class Queues:
    """The events of one plan, in the order of their times."""

    def __init__(self, plan: Plan, rng: random.Random):
        self.plan, self.rng, self.tally = plan, rng, Tally()
        k, engine, backend = plan.message, plan.engine, plan.backend
        rows = plan.measurements
        self.driver_seconds = engine.driver_message + k * (
            engine.driver_task + backend.driver_task + rows * backend.driver_measurement
        )
        self.server_seconds = k * (backend.server_task + rows * backend.server_measurement)
        self.drivers = [Driver(left=plan.window or inf) for _ in range(plan.drivers)]
        self.cores = [0.0] * plan.cores
        self.events: list[tuple[float, int, str, int]] = []
        self.number = 0

    def run(self, start: float, end: float) -> Found:
        """What happens between two times."""
        happens = {
            "free": self.free, "asked": self.asked, "sent": self.sent, "done": self.done,
            "lost": self.lost,
        }  # fmt: skip
        counts = False
        while self.events and self.events[0][0] <= end:
            now, _, what, worker = heapq.heappop(self.events)
            if now >= start and not counts:
                counts, self.tally = True, Tally()
            happens[what](now, worker)
            self.hand_out(now, self.driver(worker))
        plan, span = self.plan, end - start
        rate = self.tally.tasks / span
        return Found(
            rate=rate,
            efficiency=rate * plan.seconds / plan.workers,
            driver=self.tally.driving / span / plan.drivers,
            server=self.tally.serving / span / plan.cores,
            waited=self.tally.waited / max(self.tally.messages, 1),
        )

    def add(self, time: float, what: str, worker: int) -> None:
        """An event to come; of two at one time, the one that was added first comes first."""
        self.number += 1
        heapq.heappush(self.events, (time, self.number, what, worker))

    def driver(self, worker: int) -> Driver:
        """The worker's."""
        return self.drivers[worker % self.plan.drivers]

    def free(self, now: float, worker: int) -> None:
        """A worker waits for its next message."""
        self.driver(worker).waiting.append((now, worker))

    def hand_out(self, now: float, driver: Driver) -> None:
        """A driver turns to the worker that has waited longest, if it is not busy."""
        if driver.busy or not driver.waiting or not driver.left:
            return
        since, worker = driver.waiting.popleft()
        driver.busy, driver.out = True, driver.out + 1
        driver.left = max(driver.left - self.plan.message, 0)
        self.tally.messages += 1
        self.tally.waited += now - since
        self.tally.driving += self.driver_seconds + self.server_seconds
        self.add(now + self.driver_seconds, "asked", worker)

    def asked(self, now: float, worker: int) -> None:
        """The driver asks the store, whose first free core answers."""
        core = min(range(self.plan.cores), key=self.cores.__getitem__)
        self.cores[core] = max(now, self.cores[core]) + self.server_seconds
        self.tally.serving += self.server_seconds
        self.add(self.cores[core], "sent", worker)

    def sent(self, now: float, worker: int) -> None:
        """The worker is at its message, unless it is lost on the way."""
        self.driver(worker).busy = False
        seconds, lost = self.message_seconds(), self.plan.lost / 3600
        lives = self.rng.expovariate(lost) if lost else inf
        self.add(now + min(lives, seconds), "lost" if lives < seconds else "done", worker)

    def done(self, now: float, worker: int) -> None:
        """All tasks of the message are; after the last of a window another begins."""
        driver = self.driver(worker)
        driver.out -= 1
        self.tally.tasks += self.plan.message
        if not driver.out and not driver.left:
            driver.left = self.plan.window or inf
        self.free(now, worker)

    def lost(self, now: float, worker: int) -> None:
        """Its tasks are done again, and another worker comes in its place."""
        driver = self.driver(worker)
        driver.out -= 1
        driver.left += self.plan.message
        self.add(now + REPLACED, "free", worker)

    def message_seconds(self) -> float:
        """For how long a worker is at one."""
        plan, engine = self.plan, self.plan.engine
        tasks = sum(self.task_seconds() for _ in range(plan.message))
        return engine.worker_message + plan.message * engine.worker_task + tasks

    def task_seconds(self) -> float:
        """Of one."""
        plan = self.plan
        if not plan.spread:
            return plan.seconds
        if plan.spread == inf:
            return self.rng.expovariate(1 / plan.seconds)
        return exp(self.rng.gauss(log(plan.seconds) - plan.spread**2 / 2, plan.spread))
