"""The worker beside the page: pieces one after the other, a bounded line, errors kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from generator import jobs

WAIT = 10.0


class Bench:
    """Stands where composing stands: holds each request until it is let go, then answers as it was told."""

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.seen: list[Any] = []

    def compose(self, request: Any, on_round: Any) -> Any:
        self.seen.append(request)
        on_round("first round")
        assert self.let_go.wait(WAIT)
        if request == "faulty":
            raise RuntimeError("no such latent")
        return f"piece for {request}"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    bench = Bench()
    monkeypatch.setattr(jobs, "_compose", lambda: bench.compose)
    yield bench
    bench.let_go.set()


def submit(composer: jobs.Composer, request: object) -> jobs.Job:
    return composer.submit(request)  # type: ignore[arg-type]


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
