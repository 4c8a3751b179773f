"""Training of all members of a sweep by workers of Ray, of which any may be lost."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax

from rsl_jax.sweeps.program import Population, Program
from rsl_jax.sweeps.ray_cluster import RayCluster
from rsl_jax.sweeps.ray_worker import Block, Job, Surroundings, Worker
from rsl_jax.sweeps.running import Part, Programs, Run
from rsl_jax.sweeps.settings import Member

POLL_SECONDS = 1.0
"""How long to wait for workers before looking whether to stop, and whether there is room for more."""


@dataclass(eq=False)
class _Hired:
    """Worker of the sweep.

    Attributes:
        actor: Ray's handle.
        name: its process and machine, once it is ready.
        part: what it trains, or None.
    """

    actor: Any
    name: str = "before it was ready"
    part: Part | None = None


@dataclass
class _Losses:
    """Losses of the worker of a part.

    Attributes:
        count: how many there were without getting any further in between.
        finished: number of iterations that were finished at the last one.
    """

    count: int = 0
    finished: int = 0


class RayTraining:
    """Gives parts of a sweep to workers, asks for block after block, and takes what they have done.

    A worker that is ready gets the next part. When one is lost, its part is the next one, and a worker is hired in its
    place where there is room. Machines that join the cluster later are used, too.
    """

    def __init__(self, ray: Any, cluster: RayCluster) -> None:
        """Set up; nothing is started yet.

        Args:
            ray: the module, connected to the cluster.
            cluster: the cluster.
        """
        self._ray, self._cluster = ray, cluster
        self._asked: dict[Any, _Hired] = {}  # by what they are asked for
        self._populations: dict[int, tuple[Population, Sequence[int]]] = {}

    def train_all(self, run: Run, programs: Programs) -> None:
        """Train all members, until the run's ``stop_requested``.

        Raises:
            RuntimeError: if the same members lose their worker again and again.
            TimeoutError: if no worker starts.
            Exception: what was raised in a worker.
        """
        rooms = self._cluster.room(self._ray)
        parts = _split(run, programs, workers=max(1, sum(rooms)))
        self._run, self._waiting = run, deque(parts)
        self._sizes = {part.index: len(part.members) for part in parts}
        self._finished = dict.fromkeys(self._sizes, 0)
        self._losses = {index: _Losses() for index in (*self._sizes, None)}
        self._job = self._ray.put(self._pickled(_job_of(run, programs, neighbours=max([1, *rooms]))))
        self._heard = time.monotonic()
        try:
            while self._waiting or self._asked:
                self._hire_and_dismiss()
                for answer in self._answers():
                    self._take(answer)
                self._check_time()
        finally:
            for worker in self._asked.values():
                self._dismiss(worker)
        run.populations += [self._populations[index] for index in sorted(self._populations)]

    # --- workers -----------------------------------------------------------------------------------------------------

    def _hire_and_dismiss(self) -> None:
        """Have as many workers as there are parts to be trained, and room."""
        if self._run.stop_requested:
            self._waiting.clear()
        if not self._waiting:
            for asked in [asked for asked, worker in self._asked.items() if worker.part is None]:
                self._dismiss(self._asked.pop(asked))
            return
        needed = len(self._waiting) + len(self._parts_in_training())
        # One at least, room or not: clusters that grow on demand see it waiting.
        wanted = min(needed, max(1, sum(self._cluster.room(self._ray))))
        for _ in range(wanted - len(self._asked)):
            actor = self._actor_class().remote()
            surroundings = Surroundings.here(num_cpus=self._cluster.num_cpus, num_gpus=self._cluster.num_gpus)
            self._asked[actor.prepare.remote(surroundings, self._job)] = _Hired(actor)

    def _actor_class(self) -> Any:
        needs = {"num_cpus": self._cluster.num_cpus, "num_gpus": self._cluster.num_gpus}
        return self._ray.remote(Worker).options(**needs, scheduling_strategy="SPREAD")

    def _dismiss(self, worker: _Hired) -> None:
        with contextlib.suppress(Exception):  # it may be gone, and the connection, too
            self._ray.kill(worker.actor)

    def _parts_in_training(self) -> list[Part]:
        return [worker.part for worker in self._asked.values() if worker.part is not None]

    def _answers(self) -> list[Any]:
        """Wait for the next answer; returns all that are there, so that no worker waits for a quicker one's."""
        asked = [*self._asked]
        if not asked:
            return []
        self._ray.wait(asked, timeout=POLL_SECONDS)
        return self._ray.wait(asked, num_returns=len(asked), timeout=0)[0]

    def _take(self, answer: Any) -> None:
        """Take what a worker has done, and ask it for more."""
        worker = self._asked.pop(answer)
        try:
            with jax.default_device(jax.devices("cpu")[0]):  # where trained members are kept
                content = self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:  # an error of the program, which would be the same elsewhere
            self._dismiss(worker)
            raise
        except self._ray.exceptions.RayError as error:
            self._lose(worker, error)
            return
        if worker.part is None:
            worker.name = content
            self._give_next_part(worker)
            return
        part = worker.part
        if content.population is None:  # the worker goes on while its last block is looked at here
            self._asked[worker.actor.proceed.remote(stop=self._run.stop_requested)] = worker
            self._note(worker, part, content)
        else:
            self._note(worker, part, content)
            worker.part = None
            self._give_next_part(worker)

    def _give_next_part(self, worker: _Hired) -> None:
        if not self._waiting or self._run.stop_requested:
            self._dismiss(worker)
            return
        worker.part = self._waiting.popleft()
        self._asked[worker.actor.begin.remote(worker.part)] = worker

    def _lose(self, worker: _Hired, error: Exception) -> None:
        """Let the members of a lost worker continue elsewhere.

        Raises:
            RuntimeError: if that has happened too often.
        """
        self._dismiss(worker)  # it may live on, where only the connection is lost
        index = None if worker.part is None else worker.part.index
        losses, finished = self._losses[index], 0 if index is None else self._finished[index]
        losses.count = 1 if finished > losses.finished else losses.count + 1
        losses.finished = finished
        if losses.count > self._cluster.max_retries or getattr(error, "actor_init_failed", False):
            kept = "" if self._run.folder is None else " The same call with resume=True continues from the checkpoints."
            raise RuntimeError(
                f"The sweep has lost a worker ({worker.name}) {losses.count} times without getting any further.{kept} "
                f"Ray says: {error}"
            ) from error
        if worker.part is None:
            self._say(f"A worker was lost ({worker.name}).")
            return
        self._say(f"A worker was lost ({worker.name}); its {len(worker.part.members)} runs continue elsewhere.")
        self._waiting.appendleft(worker.part)

    def _check_time(self) -> None:
        """Give up if no worker starts.

        Raises:
            TimeoutError: says what the cluster has.
        """
        limit = self._cluster.time_limit
        if self._parts_in_training() or not self._waiting:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > limit:
            nodes = self._cluster.describe_nodes(self._ray)
            raise TimeoutError(f"No worker of the Ray cluster has started within {limit:g} s. {nodes}")

    # --- what workers do ---------------------------------------------------------------------------------------------

    def _note(self, worker: _Hired, part: Part, block: Block) -> None:
        rows = [member.index for member in part.members]
        self._run.note(block.metrics, rows, block.start, block.failed)
        self._finished[part.index] = block.finished
        self._run.done = sum(count * self._sizes[index] for index, count in self._finished.items())
        if block.start == 0 and self._losses[part.index].count:
            self._say(f"The {len(rows)} runs continue from iteration {block.finished} ({worker.name}).")
        if block.population is not None:
            self._populations[part.index] = (jax.device_put(block.population, jax.devices("cpu")[0]), rows)
        elif block.finished > block.start:
            training = {each.index: each for each in (*self._parts_in_training(), part)}
            indices = [member.index for each in training.values() for member in each.members]
            self._run.report(sorted(indices), min(self._finished[index] for index in training))

    def _say(self, text: str) -> None:
        if self._run.console is not None:
            self._run.console.say(text)

    def _pickled(self, job: Job) -> bytes:
        """Pickle the job, so that workers unpickle it after they have taken over where modules are found.

        Raises:
            TypeError: if the environment cannot be pickled.
        """
        try:
            return self._ray.cloudpickle.dumps(job)
        except Exception as error:  # pickling raises whatever an object's own methods do
            raise TypeError(
                f"The environment cannot be sent to the workers ({type(error).__name__}: {error}). It must be "
                "picklable: without open files, locks and connections."
            ) from error


def _split(run: Run, programs: Programs, *, workers: int) -> list[Part]:
    """Split the members into equal parts, about as many in all as there are workers."""
    share = math.ceil(len(run.members) / workers)

    def choose(program: Program, members: Sequence[Member]) -> int:
        del program
        return run.members_at_once or math.ceil(len(members) / math.ceil(len(members) / share))

    return list(run.parts(programs, choose))


def _job_of(run: Run, programs: Programs, *, neighbours: int) -> Job:
    first = programs[0][0]
    return Job(
        env=run.env,
        cfg=run.cfg,
        shapes=[program.cfg for program, _ in programs],
        traced=first.traced,
        iterations=run.iterations,
        init_at_random_ep_len=first.init_at_random_ep_len,
        check_memory=run.members_at_once is None,
        neighbours=neighbours,
        folder=None if run.folder is None else str(run.folder.path.absolute()),
        description={} if run.folder is None else run.folder.description,
    )
