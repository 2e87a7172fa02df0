"""Files of music to melody windows, one after the other, in a process of their own.

Files come from strangers. A worker process reads them, with a limit on its memory; one that takes too long is ended,
and the next file gets a new worker. A collection of ABC tunes is read tune by tune, so that one broken tune costs only
itself. music21's pickle cache is neither read nor written.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from generator.corpus_build.score import Found, ScoreError, is_tune, score_windows

FORMATS = {
    ".mid": "midi",
    ".midi": "midi",
    ".abc": "abc",
    ".xml": "musicxml",
    ".musicxml": "musicxml",
    ".mxl": "musicxml",
    ".krn": "humdrum",
}
MAX_BYTES = 8_000_000  # of a text or packed file; MIDI has limits of its own
MAX_UNPACKED = 40_000_000
MEMORY = 6_000_000_000  # of address space: torch and music21 take 2
SECONDS = 60.0  # for one tune
TUNE = re.compile(r"^X:", re.MULTILINE)


@dataclass(frozen=True)
class Job:
    """One tune: its file, the folder it was found under, and which of a collection's tunes it is (from 0)."""

    path: Path
    root: Path
    number: int | None = None

    @property
    def name(self) -> str:
        """How messages and the corpus call it, without the machine's own folders."""
        place = self.path.relative_to(self.root) if self.path != self.root else Path(self.path.name)
        return str(place) if self.number is None else f"{place}#{self.number + 1}"


def jobs_of(path: Path, root: Path) -> list[Job]:
    """The tunes in a file. Raises OSError."""
    if path.suffix.lower() == ".abc" and path.stat().st_size <= MAX_BYTES:
        count = len(abc_tunes(path.read_text("utf-8", errors="replace")))
        if count > 1:
            return [Job(path, root, number) for number in range(count)]
    return [Job(path, root)]


def abc_tunes(text: str) -> list[str]:
    """The tunes of an ABC file, each with the file's header before it; the whole text where no tune begins with X:."""
    begins = [match.start() for match in TUNE.finditer(text)]
    ends = [*begins[1:], len(text)]
    return [text[: begins[0]] + text[a:b] for a, b in zip(begins, ends, strict=True)] if begins else [text]


def read_tune(job: Job) -> Found:
    """The windows of one tune. Raises ValueError with the reason where it has none, and whatever music21 raises."""
    kind = FORMATS[job.path.suffix.lower()]
    if kind == "midi":
        from generator.melody import midi_to_melodies

        windows = [window for window in midi_to_melodies(job.path) if is_tune(window)]
        if not windows:
            raise ScoreError("expected 16 notes and no bar of silence in 16 bars; no window is so")
        zeros = np.zeros(len(windows), np.uint8)
        return Found(np.stack(windows), np.arange(len(windows), dtype=np.int16), zeros)
    size = job.path.stat().st_size
    if size > MAX_BYTES:
        raise ScoreError(f"expected at most {MAX_BYTES:,} bytes, got {size:,}")
    from music21 import converter

    data = job.path.read_bytes()
    if kind == "abc":
        text = abc_tunes(data.decode("utf-8", errors="replace"))[job.number or 0]
        score = converter.parseData(text, format="abc")
    elif kind == "humdrum":
        score = converter.parseData(data.decode("utf-8", errors="replace"), format="humdrum")
    else:
        score = converter.parseData(_unpacked(data), format="musicxml")
    return score_windows(score)


def _unpacked(data: bytes) -> str:
    """MusicXML's text, from a plain or a zipped file."""
    if not data.startswith(b"PK"):
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", errors="replace")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        scores = [
            each
            for each in archive.infolist()
            if each.filename.lower().endswith((".xml", ".musicxml")) and not each.filename.startswith("META-INF")
        ]
        if not scores or scores[0].file_size > MAX_UNPACKED:
            raise ScoreError(f"expected a score of at most {MAX_UNPACKED:,} bytes in the packed file")
        with archive.open(scores[0]) as file:
            return file.read(MAX_UNPACKED).decode("utf-8", errors="replace")


def _work(pipe: Connection) -> None:
    """The worker: jobs come in, windows or a reason go out."""
    import resource
    import warnings

    with contextlib.suppress(ValueError, OSError):  # a lower limit is set already
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    warnings.simplefilter("ignore")
    quiet = open(os.devnull, "w")  # noqa: SIM115 - for the life of the process
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        while (job := pipe.recv()) is not None:
            try:
                pipe.send(read_tune(job))
            except Exception as error:  # music21 raises dozens of kinds on broken files
                pipe.send(f"{'' if isinstance(error, ValueError) else type(error).__name__ + ' '}{error}"[:300])


def read_all(jobs: Iterable[Job], seconds: float = SECONDS) -> Iterator[tuple[Job, Found | str]]:
    """Each job with its windows, or with the reason why there are none, in the jobs' order."""
    context = multiprocessing.get_context("spawn")
    worker, ours = None, None
    try:
        for job in jobs:
            if worker is None or ours is None:
                ours, theirs = context.Pipe()
                worker = context.Process(target=_work, args=(theirs,), daemon=True)
                worker.start()
                theirs.close()
            try:
                ours.send(job)
                if ours.poll(seconds):
                    yield job, ours.recv()
                    continue
                reason = f"expected to be read within {seconds:g} s, was not"
            except (EOFError, OSError):
                reason = "reading it ended the reader: it is broken, or needs too much memory"
            worker.kill()
            worker.join()
            worker, ours = None, None
            yield job, reason
    finally:
        if worker is not None:
            worker.kill()
            worker.join()
