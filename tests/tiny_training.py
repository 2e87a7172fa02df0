"""`python -m generator` with networks and numbers so small that all stages of training take seconds."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from generator import train, train_actor
from generator.__main__ import main
from generator.musicvae import loop
from generator.musicvae import train as stages
from generator.musicvae.config import Config
from generator.musicvae.prior import PriorConfig

SMALL = {"width": 12, "heads": 2, "layers": 1, "z_bar": 3, "bar_rnn": 5, "core_rnn": 6}
SMALL_PRIOR = {"z_bar": 3, "width": 8, "heads": 2, "layers": 1}


def shrink(monkeypatch: Any = None) -> None:
    """Make training small, for the process or for a test."""
    put = monkeypatch.setattr if monkeypatch else setattr
    put(train, "Config", lambda **fields: Config(**(SMALL | fields)))
    put(
        train,
        "PriorConfig",
        lambda **fields: PriorConfig(**({"z_bar": 3, "width": 8, "heads": 2, "layers": 1} | fields)),
    )
    put(train, "REAL", 256)
    put(train, "STARTS", 256)
    put(train, "REPORT_WINDOWS", 16)
    put(train_actor, "BATCH", 32)
    put(stages, "HELD_OUT", {"bar": 20, "melody": 10, "prior": 10})
    put(stages, "RECIPES", {name: replace(recipe, batch=8) for name, recipe in stages.RECIPES.items()})
    put(loop, "VALIDATE_EVERY", 10)


def leave_sums(state_file: Path, rank: int, module: Any) -> None:
    """What a process's weights are after a stage, in a file for the test to read."""
    total = sum(float(parameter.double().sum()) for parameter in module.parameters())
    (state_file.parent / f"{state_file.stem}.rank{rank}.txt").write_text(repr(total))


if __name__ == "__main__":
    shrink()

    def watched(module: Any, loss: Any, recipe: Any, state_file: Path, report: Any, **more: Any) -> Any:
        figures = loop.run(module, loss, recipe, state_file, report, **more)
        leave_sums(state_file, more["ranks"].rank, module)
        return figures

    vars(train)["run"] = watched
    sys.exit(main())
