"""Timing a piece of work on this machine."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable
from typing import TypeVar

Kind = TypeVar("Kind")


def best(work: Callable[[], Kind], repeats: int) -> tuple[float, Kind]:
    """(seconds of the fastest run, its result), after one run to warm up."""
    result, seconds = work(), math.inf
    for _ in range(repeats):
        begin = time.perf_counter()
        result = work()
        seconds = min(seconds, time.perf_counter() - begin)
    return seconds, result


def machine() -> str:
    """What the times are of."""
    import torch

    return f"{platform.processor() or platform.machine()}, {torch.__version__}"
