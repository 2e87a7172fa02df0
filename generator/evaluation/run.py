"""The long run: every method on the same targets and seeds, in several processes, kept on disk piece by piece.

A folder takes one npz for each method and part of the plan. What is there is not done again, so that a run can be
stopped and goes on; another plan, other weights or another time need another folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import numpy.typing as npt

import emotion
from generator.evaluation.rivals import FULL, LESS, METHODS, Attributes, Setting
from generator.losses import Floats, TargetRows, Targets
from generator.models import load_models
from generator.musicvae.corpus import load_corpus
from generator.train_actor import draw_targets

PART = 10  # requests in a file
ABLATED = 100  # joint targets on which the method is run without one of its parts
SAME_TARGETS = 3  # targets of the diversity figure
ENCODED = 4000  # training melodies behind the attribute vectors
TARGET_SEED = 20_261  # of the random targets
MOODS, JOINT, SAME = 0, 1, 2  # groups of the plan


@dataclass(frozen=True)
class Plan:
    """What is asked for, a row each: targets, seed, and which figure it is for (`JOINT`, `SAME`, `MOODS`); index: the
    target's number among the same ones, or the mood's."""

    targets: TargetRows
    seed: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    index: npt.NDArray[np.int64]

    @classmethod
    def of(cls, joint: int, same: int, a_mood: int) -> Plan:
        """`joint` random joint targets; `SAME_TARGETS` of them with `same` seeds each; nine moods with `a_mood`."""
        rows = draw_targets(np.random.default_rng(TARGET_SEED), joint)
        repeated = np.repeat(np.arange(SAME_TARGETS), same)
        moods = [emotion.category(name) for name in emotion.categories()]
        of_mood = np.repeat(np.arange(len(moods)), a_mood)
        chosen = rows.of(repeated)
        targets = TargetRows(
            np.concatenate([rows.density, chosen.density, [moods[k].density for k in of_mood]]),
            np.concatenate([rows.pitch, chosen.pitch, [moods[k].pitch for k in of_mood]]),
            np.concatenate([rows.major, chosen.major, [moods[k].p_major >= 0.5 for k in of_mood]]),
        )
        seeds = (
            np.arange(joint),
            100_000 + np.tile(np.arange(same), SAME_TARGETS),
            np.tile(np.arange(a_mood), len(moods)),
        )
        group = np.repeat([JOINT, SAME, MOODS], [joint, len(repeated), len(of_mood)])
        return cls(targets, np.concatenate(seeds), group, np.concatenate([np.arange(joint), repeated, of_mood]))

    def rows(self, method: str) -> npt.NDArray[np.int64]:
        """Which rows a method runs: all for the method itself, the moods for none else; the method less a part runs
        the first `ABLATED` joint targets."""
        if method.startswith(LESS):
            return np.flatnonzero((self.group == JOINT) & (self.index < ABLATED))
        return np.flatnonzero((self.group != MOODS) | (method == FULL))


@dataclass(frozen=True)
class Outcome:
    """What a method made, a row of the plan each: tokens uint8 [N, 256], CPU seconds [N], totals [N], and the rows."""

    rows: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.uint8]
    seconds: Floats
    totals: Floats

    def of(self, plan: Plan, group: int) -> Outcome:
        """The part for one figure."""
        kept = plan.group[self.rows] == group
        return Outcome(self.rows[kept], self.tokens[kept], self.seconds[kept], self.totals[kept])


def run_all(
    plan: Plan, data: Path, model: str, seconds: float | None, work: Path, processes: int, say: Callable[[str], None]
) -> tuple[dict[str, Outcome], float]:
    """Run every method, the method itself first: its median time is what the others get, unless `seconds` says.

    Returns outcomes by name, and the seconds. Raises ValueError where the folder holds another run.
    """
    work.mkdir(parents=True, exist_ok=True)
    _same_run(plan, model, seconds, work)
    pool = ProcessPoolExecutor(processes, get_context("spawn"), _start, (str(data), model))
    with pool:
        found = {FULL: _run(FULL, plan, 0.0, work, pool, say)}
        given = seconds or float(np.median(found[FULL].of(plan, JOINT).seconds))
        for method in METHODS:
            if method != FULL:
                found[method] = _run(method, plan, given, work, pool, say)
    return {method: found[method] for method in METHODS}, given


def _same_run(plan: Plan, model: str, seconds: float | None, work: Path) -> None:
    """Write down what the folder is for, or check it."""
    weights = hashlib.sha256()
    models = load_models(model, "cpu")
    for network in (models.melody, models.prior, models.networks):
        for tensor in network.parameters() if network is not None else ():
            weights.update(tensor.detach().cpu().numpy().tobytes())
    counts = np.bincount(plan.group).tolist()
    about = {"counts": counts, "model": model, "weights": weights.hexdigest(), "seconds": seconds}
    note = work / "run.json"
    if not note.exists():
        note.write_text(json.dumps(about))
    elif json.loads(note.read_text()) != about:
        raise ValueError(f"{work} holds a run with other targets, weights or time; name another folder with --work")


def _run(
    method: str, plan: Plan, seconds: float, work: Path, pool: ProcessPoolExecutor, say: Callable[[str], None]
) -> Outcome:
    """One method on its part of the plan; files that are there already are read."""
    rows = plan.rows(method)
    parts = np.split(rows, range(PART, len(rows), PART))
    files = [work / f"{method.strip('. ').replace(' ', '-')}-{part[0]:05}.npz" for part in parts]
    missing = [(part, file) for part, file in zip(parts, files, strict=True) if not file.exists()]
    say(f"{method}: {len(rows)} requests, {len(parts) - len(missing)} of {len(parts)} files there already")
    jobs = [pool.submit(_part, method, plan, part, seconds, file) for part, file in missing]
    for job in jobs:
        job.result()
    read = []
    for file in files:
        with np.load(file, allow_pickle=False) as data:
            read.append((data["tokens"], data["seconds"], data["totals"]))
    return Outcome(rows, *(np.concatenate(each) for each in zip(*read, strict=True)))


@lru_cache(maxsize=1)
def _setting(data: str, model: str) -> Setting:
    models = load_models(model, "cpu")
    windows = load_corpus(Path(data), "train", models.home_key).draw(np.random.default_rng(0), ENCODED)
    return Setting(models, Attributes.of(models, windows))


_process: list[tuple[str, str]] = []  # what this worker process was started with


def _start(data: str, model: str) -> None:
    """Make a worker process ready: one thread, networks loaded, everything run once."""
    import torch

    torch.set_num_threads(1)
    _process[:] = [(data, model)]
    setting = _setting(data, model)
    METHODS[FULL](setting, Targets(5.0, 70.0, True), 0, 0.0)


def _part(method: str, plan: Plan, rows: npt.NDArray[np.int64], seconds: float, file: Path) -> None:
    """In a worker process: some requests, written whole or not at all."""
    setting, targets = _setting(*_process[0]), plan.targets
    found = []
    for row in rows:
        wanted = Targets(float(targets.density[row]), float(targets.pitch[row]), bool(targets.major[row]))
        found.append(METHODS[method](setting, wanted, int(plan.seed[row]), seconds))
    part = file.with_suffix(".part.npz")
    np.savez_compressed(
        part,
        tokens=np.stack([each.tokens for each in found]),
        seconds=[each.seconds for each in found],
        totals=[each.total for each in found],
    )
    part.replace(file)
