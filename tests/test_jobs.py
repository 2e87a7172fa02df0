"""The worker beside the page: pieces one after the other, a bounded line, errors kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from generator import jobs

WAIT = 10.0


class Bench:
    """Stands where composing stands: holds each recipe until it is let go, then answers as it was told."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.seen: list[Any] = []

    def compose(self, recipe: Any, on_round: Any, on_step: Any, device: str) -> Any:
        self.seen.append(recipe)
        on_round("first round")
        on_step("a step")
        assert self.let_go.wait(WAIT)
        if recipe == "faulty":
            raise RuntimeError("no such latent")
        if recipe == "long":
            while not on_round("one more round"):
                time.sleep(0.001)
        return f"piece for {recipe}"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench()
    monkeypatch.setattr(jobs, "_compose", lambda: bench.compose)
    yield bench
    bench.let_go.set()


def submit(composer: jobs.Composer, recipe: object) -> jobs.Job:
    return composer.submit(recipe)  # type: ignore[arg-type]


def outcome(job: jobs.Job) -> tuple[Any, ...]:
    return job.rounds, job.piece, job.error


def test_rounds_show_before_the_piece_is_done(bench: Bench) -> None:
    job = submit(jobs.Composer(), "peaceful")
    assert job.started.wait(WAIT)
    while not job.rounds:
        assert not job.done.wait(0.01)
    bench.let_go.set()
    assert job.done.wait(WAIT)
    assert outcome(job) == (["first round"], "piece for peaceful", None)
    assert list[Any](job.steps) == ["first round", "a step"]


def test_one_after_the_other_in_order(bench: Bench) -> None:
    composer = jobs.Composer()
    line = [submit(composer, number) for number in range(4)]
    assert line[0].started.wait(WAIT)
    assert [composer.ahead(job) for job in line] == [0, 1, 2, 3]
    assert not line[1].started.is_set()
    bench.let_go.set()
    assert all(job.done.wait(WAIT) for job in line)
    assert bench.seen == [0, 1, 2, 3]
    assert [composer.ahead(job) for job in line] == [0, 0, 0, 0]


def test_a_fault_is_kept_and_the_next_piece_is_composed(bench: Bench) -> None:
    composer = jobs.Composer()
    bench.let_go.set()
    faulty, sound = submit(composer, "faulty"), submit(composer, "bright")
    assert faulty.done.wait(WAIT)
    assert sound.done.wait(WAIT)
    assert faulty.piece is None
    assert str(faulty.error) == "no such latent"
    assert outcome(sound) == (["first round"], "piece for bright", None)


def test_a_full_line_refuses_and_opens_again(bench: Bench) -> None:
    composer = jobs.Composer()
    line = [submit(composer, number) for number in range(jobs.WAITING_LIMIT + 1)]
    with pytest.raises(jobs.BusyError, match="try again"):
        submit(composer, "one too many")
    bench.let_go.set()
    assert all(job.done.wait(WAIT) for job in line)
    assert submit(composer, "later").done.wait(WAIT)


def test_a_stopped_job_keeps_the_best_so_far(bench: Bench) -> None:
    job = submit(jobs.Composer(), "long")
    bench.let_go.set()
    while len(job.rounds) < 5:
        assert not job.done.wait(0.001)
    job.stop()
    job.stop()  # A second click does no harm.
    assert job.done.wait(WAIT)
    assert job.stopped
    job.stop()
    assert outcome(job)[1:] == ("piece for long", None)


def test_a_job_stopped_early_runs_one_round(bench: Bench) -> None:
    job = submit(jobs.Composer(), "long")
    assert job.started.wait(WAIT)
    job.stop()
    bench.let_go.set()
    assert job.done.wait(WAIT)
    assert outcome(job) == (["first round", "one more round"], "piece for long", None)


def test_a_job_stopped_in_the_line_is_done_with_and_never_composed(bench: Bench) -> None:
    composer = jobs.Composer()
    first, second, third = (submit(composer, number) for number in range(3))
    assert first.started.wait(WAIT)
    second.stop()
    assert second.done.is_set()
    assert outcome(second) == ([], None, None)
    assert composer.ahead(third) == 1
    bench.let_go.set()
    assert third.done.wait(WAIT)
    assert bench.seen == [0, 2]
    assert not second.started.is_set()


def test_a_fault_while_loading_the_model_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise OSError("weights are corrupt")

    monkeypatch.setattr(jobs, "_compose", broken)
    job = submit(jobs.Composer(), "peaceful")
    assert job.done.wait(WAIT)
    assert str(job.error) == "weights are corrupt"


def test_a_fault_while_warming_up_stops_no_later_piece(monkeypatch: pytest.MonkeyPatch, bench: Bench) -> None:
    def broken() -> Any:
        raise OSError("weights are not there yet")

    composer = jobs.Composer()
    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_compose", broken)
        composer.warm_up()
        faulty = submit(composer, "faulty")
        assert faulty.done.wait(WAIT)
    bench.let_go.set()
    job = submit(composer, "clear")
    assert job.done.wait(WAIT)
    assert job.piece is not None
