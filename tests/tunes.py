"""Melodies for tests, made from a seed."""

from __future__ import annotations

import numpy as np

from generator.melody import Tokens


def random_tune(seed: int) -> Tokens:
    """A tune in a random key and register: notes of two to eight sixteenths by small steps, some rests."""
    rng = np.random.default_rng(seed)
    root = int(rng.integers(12))
    scale = [p for p in range(48, 90) if (p - root) % 12 in (0, 2, 4, 5, 7, 9, 11)]
    tokens, step, place = np.zeros(256, np.uint8), 0, int(rng.integers(6, len(scale) - 6))
    while step < 256:
        place = int(np.clip(place + rng.integers(-3, 4), 0, len(scale) - 1))
        tokens[step] = scale[place] - 19
        length = int(rng.choice([1, 2, 2, 4, 4, 6, 8]))
        if rng.random() < 0.1 and length > 1 and step + length - 1 < 256:
            tokens[step + length - 1] = 1
        step += length
    return tokens
