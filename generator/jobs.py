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
    from generator.compose import Piece, Request, Round

WAITING_LIMIT = 12  # A piece takes some 5 s, so that the last in line waits about a minute.

log = logging.getLogger(__name__)


class BusyError(RuntimeError):
    """WAITING_LIMIT jobs wait already."""


class Job:
    """One request on its way to a piece. Written by the worker, read by anyone.

    `rounds` grows while the piece is composed. Once `done` is set, `piece` or `error` is there.
    """

    def __init__(self, request: Request) -> None:
        self.request = request
        self.rounds: list[Round] = []
        self.piece: Piece | None = None
        self.error: Exception | None = None
        self.started = threading.Event()
        self.done = threading.Event()

    def run(self) -> None:
        """Compose, and keep what came of it. An error is kept for the page, and logged with its traceback."""
        self.started.set()
        try:
            self.piece = _compose()(self.request, self.rounds.append)
        except Exception as error:
            log.exception("composing failed")
            self.error = error
        finally:
            self.done.set()


class Composer:
    """The worker and its line. One for a whole server."""

    def __init__(self) -> None:
        self._tasks: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._lock = threading.Lock()
        self._line: list[Job] = []
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
        except Exception:  # The first job meets the same fault, and tells its visitor.
            log.exception("loading the networks failed")

    def submit(self, request: Request) -> Job:
        """Put a request at the end of the line. Raises BusyError where the line is full."""
        job = Job(request)
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


def _compose() -> Callable[[Request, Callable[[Round], None]], Piece]:
    """Import the composing path and load its networks: seconds, hence in the worker and not at the page's start."""
    import torch

    from generator.compose import compose
    from generator.models import default_models

    torch.set_num_threads(1)
    default_models()
    return compose
