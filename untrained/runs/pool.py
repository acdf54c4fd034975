"""Worker processes of this machine, and what becomes of a task that one of them was lost at."""

from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from multiprocessing.connection import wait

from untrained.runs.tasks import (
    Outcome,
    Scored,
    ScoreTask,
    Task,
    TileTask,
    TrainTask,
    lost_tile,
    unmeasured,
    untrainable,
)
from untrained.runs.workers import Answer, ImageFiles, Lost, Raised, Worker
from untrained.scores import Reading


class Pool:
    """An engine of worker processes, which share the devices that are named, evenly."""

    def __init__(
        self,
        count: int,
        images: ImageFiles,
        time_limit: float | None,
        devices: Sequence[str] = (),
    ):
        self.count = count
        self.images = images
        self.time_limit = time_limit
        self.devices = devices
        self.idle: list[Worker] = []
        self.busy: dict[Worker, int] = {}

    @property
    def lanes(self) -> int:
        """Workers."""
        return self.count

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome]]:
        """Outcomes as they come; of tasks whose worker was lost or lacked memory, once no other is
        left."""
        done = 0
        while done < len(tasks):
            again: list[tuple[int, Answer]] = []
            for index, answer in self.spread(tasks, self.count, done):
                if isinstance(answer, Lost | Raised) or lacks_memory(answer):
                    again.append((index, answer))
                else:
                    yield index, answer
            done = len(tasks)
            for index, answer in again:
                yield index, self.retry(tasks[index], answer)

    def spread(
        self, tasks: Sequence[Task], count: int, first: int = 0
    ) -> Iterator[tuple[int, Answer]]:
        """The answer of each task from the first on as it comes, from at most so many workers."""
        waiting, known = deque[int](), first
        starts = 0
        while known < len(tasks) or waiting or self.busy:
            waiting.extend(range(known, len(tasks)))
            known = len(tasks)
            while waiting and len(self.busy) < count:
                worker = self.idle.pop() if self.idle else self.started()
                if worker is None:
                    break  # those at work will do
                worker.give(tasks[waiting[0]])
                self.busy[worker] = waiting.popleft()
            wait([w.pipe for w in self.busy] + [w.process.sentinel for w in self.busy], PATIENCE)
            for worker, index in list(self.busy.items()):
                answer = worker.answer()
                if answer is None:
                    continue
                del self.busy[worker]
                if not isinstance(answer, Lost):
                    self.idle.append(worker)
                if isinstance(answer, Lost) and answer.at_start:
                    starts += 1
                    if starts == MOST_STARTS:
                        raise OSError(
                            f"cannot start a worker process ({answer.failure.reason}): expected "
                            f"enough memory for --workers {self.count}; try fewer"
                        )
                    waiting.appendleft(index)
                elif isinstance(answer, Raised) and answer.kind is not MemoryError:
                    raise answer.kind(*answer.arguments)
                else:
                    yield index, answer

    def started(self) -> Worker | None:
        """A new worker; None where the system gives no more, but some are at work."""
        try:
            return Worker(self.images, self.time_limit, self.least_used())
        except OSError:
            if not self.busy:
                raise
            return None

    def least_used(self) -> str | None:
        """The device that the fewest workers have; None where none is named."""
        used = Counter(worker.visible for worker in (*self.busy, *self.idle))
        return min(self.devices, key=lambda device: used[device], default=None)

    def retry(self, task: Task, answer: Answer) -> Outcome:
        """A task once more; what is lost again, in a process of its own, is at fault itself."""
        self.dismiss()
        if isinstance(task, TrainTask | TileTask):
            return self.resumable_alone(task)
        columns = []
        for j, setup in enumerate(task.setups):
            part = replace(task, setups=(setup,))
            found = [one[j : j + 1] for one in answer] if isinstance(answer, list) else answer
            if part != task and isinstance(answer, Lost):
                found = self.alone(part)
            columns.append(self.draw_by_draw(part, found))
        return [list(chain(*parts)) for parts in zip(*columns, strict=True)]

    def draw_by_draw(self, task: ScoreTask, answer: Answer) -> Scored:
        """The readings of one setup, those that are still missing in a new process each."""
        if isinstance(answer, list) and not lacks_memory(answer):
            return answer
        if isinstance(answer, Lost) and answer.failure.out_of_time and len(task.draws) == 1:
            return [unmeasured(task, answer.failure, answer.seconds)]
        found: Scored = []
        for draw in task.draws:
            self.dismiss()
            one = replace(task, draws=(draw,))
            answer = self.alone(one)
            if isinstance(answer, Lost):
                found.append(unmeasured(one, answer.failure, answer.seconds))
            else:
                assert isinstance(answer, list)
                found += answer
        return found

    def resumable_alone(self, task: TrainTask | TileTask) -> Outcome:
        """A training, up to the same epoch, or a tile."""
        answer = self.alone(task)
        if isinstance(answer, Raised):
            raise answer.kind(*answer.arguments)
        if not isinstance(answer, Lost):
            return answer
        if isinstance(task, TileTask):
            raise lost_tile(task, answer.failure)
        if answer.failure.bound:  # a larger machine resumes it
            raise MemoryError(f"training {task.architecture}: {answer.failure.reason}")
        return untrainable(answer.failure.reason)

    def alone(self, task: Task) -> Answer:
        """The answer of one worker while no other is at work."""
        [(_, answer)] = self.spread([task], 1)
        return answer

    def dismiss(self) -> None:
        """Ends all workers; after an interrupt, nobody wants what they are at."""
        for worker in (*self.busy, *self.idle):
            worker.end()
        self.busy.clear()
        self.idle.clear()


PATIENCE = 0.2
"Seconds after which workers are asked even if none has said anything."
MOST_STARTS = 3
"Workers lost before their first task until the run ends."


def lacks_memory(answer: Answer) -> bool:
    """Whether a reading is missing for want of memory, which other workers may have had."""
    return isinstance(answer, list) and any(
        wants_memory(measurement.reading) for of_draw in answer for measurement in of_draw
    )


def wants_memory(reading: Reading) -> bool:
    """Whether memory ran out."""
    return reading.bound is not None and reading.bound.kind == "memory"
