"""Composing in the background: a page starts a job, looks at its rounds while they come, and fetches the piece.

One worker composes one piece at a time: with every visitor's piece in a thread of its own they would all become
slower, none earlier. The line of waiting jobs is bounded, so that a crowd is told to come back instead of waiting for
minutes.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from generator.compose import Piece, Round
    from generator.link import Recipe
    from generator.models import Device

    Compose = Callable[[Recipe, Callable[[Round], bool], Callable[[Round], object], Device], Piece]

WAITING_LIMIT = 12  # A piece takes some 5 s, so that the last in line waits about a minute.

log = logging.getLogger(__name__)


class BusyError(RuntimeError):
    """WAITING_LIMIT jobs wait already."""


class Job:
    """One recipe on its way to a piece. Written by the worker, read by anyone.

    `rounds` grows while the piece is composed, and `steps` by every step on the way, the rounds among them. Once `done`
    is set, `piece` or `error` is there, or neither where the job was stopped before its turn came.
    """

    def __init__(self, recipe: Recipe, device: Device = "auto") -> None:
        self.recipe = recipe
        self.device = device
        self.rounds: list[Round] = []
        self.steps: list[Round] = []
        self.piece: Piece | None = None
        self.error: Exception | None = None
        self.started = threading.Event()
        self.done = threading.Event()
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    @property
    def stopped(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Keep the best so far: the round that runs is the last. A job that waits in the line is done with at once.

        At least one round is run, so that a link, which tells their number, gives the same piece again.
        """
        with self._lock:
            self._stopped.set()
            if not self.started.is_set():
                self.done.set()

    def run(self) -> None:
        """Compose, and keep what came of it. An error is kept for the page, and logged with its traceback."""
        with self._lock:
            if self.done.is_set():
                return
            self.started.set()
        try:
            self.piece = _compose()(self.recipe, self._on_round, self.steps.append, self.device)
        except Exception as error:
            log.exception("composing failed")
            self.error = error
        finally:
            self.done.set()

    def _on_round(self, step: Round) -> bool:
        self.rounds.append(step)
        self.steps.append(step)
        return self.stopped and len(self.rounds) > 1  # the first are the starts, before any re-training


class Composer:
    """The worker and its line. One for a whole server."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()
        self._line: list[Job] = []
        self._loaded = threading.Event()
        # A daemon, unlike an executor's threads: a server that is told to stop does not wait for a piece.
        threading.Thread(target=self._work, name="composer", daemon=True).start()

    def warm_up(self) -> None:
        """Import and load what composing needs while a visitor still reads, so that the first click is not slow."""
        self._tasks.put(self._load)

    def _work(self) -> None:
        while True:
            self._tasks.get()()

    def _load(self) -> None:
        try:
            _compose()
            self._loaded.set()
        except Exception:  # The first job meets the same fault, and tells its visitor.
            log.exception("loading the networks failed")

    def models(self) -> list[str]:
        """Names of the models to compose with; the default alone until PyTorch is loaded."""
        return _models() if self._loaded.is_set() else ["default"]

    def devices(self) -> list[Device]:
        """What composing can run on; "auto" alone where there is no choice, and until PyTorch is loaded."""
        return _devices() if self._loaded.is_set() else ["auto"]

    def submit(self, recipe: Recipe, device: Device = "auto") -> Job:
        """Put a recipe at the end of the line. Raises BusyError where the line is full."""
        job = Job(recipe, device)
        with self._lock:
            self._line = [waiting for waiting in self._line if not waiting.done.is_set()]
            if len(self._line) > WAITING_LIMIT:
                raise BusyError(f"{WAITING_LIMIT} pieces wait already; try again in a minute")
            self._line.append(job)
        self._tasks.put(job.run)
        return job

    def ahead(self, job: Job) -> int:
        """How many unfinished jobs stand before this one."""
        with self._lock:
            line = list(self._line)
        before = line[: line.index(job)] if job in line else []
        return sum(not other.done.is_set() for other in before)


def _compose() -> Compose:
    """Import the composing path and load its networks: seconds, hence in the worker and not at the page's start."""
    import torch

    from generator.compose import compose
    from generator.models import load_models, models_there

    def compose_recipe(
        recipe: Recipe, on_round: Callable[[Round], bool], on_step: Callable[[Round], object], device: Device
    ) -> Piece:
        # A name from a link is no folder's path.
        if recipe.model not in models_there():
            raise ValueError(f"no model is called {recipe.model!r}. There are: {', '.join(models_there())}")
        return compose(recipe.request(), on_round, load_models(recipe.model, device), on_step)

    torch.set_num_threads(1)
    load_models()
    return compose_recipe


def _models() -> list[str]:
    from generator.models import models_there

    return models_there()


def _devices() -> list[Device]:
    import torch

    return ["auto", "cuda", "cpu"] if torch.cuda.is_available() else ["auto"]
