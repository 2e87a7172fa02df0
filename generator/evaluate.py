"""What the shipped networks reach, measured: `python -m generator evaluate`.

For each mood some pieces are composed (without sound) and measured; with a file of melodies, also what the melody
model keeps of held-out tunes, and how near the prior's melodies come to real ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import emotion
from generator.compose import Request, find
from generator.losses import Melodies
from generator.models import PRIOR_STEPS, Models
from generator.musicvae.corpus import load_corpus
from generator.musicvae.report import reconstruction, samples

WINDOWS = 1000


def evaluate(models: Models, pieces: int, data: Path | None, say: Callable[[str], None]) -> None:
    """Measure and say, a line each."""
    moods(models, pieces, say)
    if data is not None:
        held_out = load_corpus(data, "test", models.home_key)
        windows = held_out.windows[np.random.default_rng(0).permutation(len(held_out.windows))[:WINDOWS]]
        say(f"\nreconstruction of {len(windows)} held-out windows")
        for name, value in reconstruction(models.melody, windows).items():
            say(f"  {name:32}{value:8.3f}")
        training = load_corpus(data, "train", models.home_key)
        sources = samples(models.melody, models.prior, held_out, training, WINDOWS, PRIOR_STEPS)
        say("\nnote statistics: mean (overlap with real)")
        say(" " * 24 + "".join(f"{source:>20}" for source in sources))
        for name in sources["real"]:
            cells = (f"{found[name][0]:.3f} ({found[name][1]:.2f})" for found in sources.values())
            say(f"  {name:22}" + "".join(f"{cell:>20}" for cell in cells))


def moods(models: Models, pieces: int, say: Callable[[str], None]) -> None:
    """Targets against what was reached, for each of the nine, with spread over the pieces."""
    from scipy.stats import spearmanr

    say(f"{pieces} pieces a mood; density in notes a bar, pitch in semitones, +- one standard deviation")
    head = ("mood", "density", "reached", "pitch off", "mode right", "chord tones", "realism", "rounds", "seconds")
    say("".join(f"{name:>13}" for name in head))
    wanted, reached, seconds = [], [], []
    for mood in emotion.categories():
        found = []
        for seed in range(pieces):
            request = Request.for_moods({mood: 1.0}, seed)
            begun = time.perf_counter()
            found.append(find(request, None, models))
            seconds.append(time.perf_counter() - begun)
        melodies, targets = Melodies(np.stack([each.tokens for each in found])), request.targets
        wanted.append(targets.density)
        reached.append(float(melodies.density.mean()))
        last = [each.trace[-1] for each in found]
        cells = (
            f"{targets.density:.2f}",
            f"{melodies.density.mean():.2f}+-{melodies.density.std():.2f}",
            f"{np.abs(melodies.pitch - targets.pitch).mean():.2f}",
            f"{((melodies.mode > 0) == targets.major).mean():.0%}",
            f"{melodies.chord_tones.mean():.0%}+-{melodies.chord_tones.std():.0%}",
            f"{np.mean([each.realism for each in last]):.2f}",
            f"{np.mean([each.number for each in last]):.1f}",
            f"{np.mean(seconds[-pieces:]):.2f}",
        )
        say(f"{mood:>13}" + "".join(f"{cell:>13}" for cell in cells))
    say(f"Spearman of reached with wanted density over the nine: {spearmanr(wanted, reached)[0]:.3f}")
    say(f"seconds a piece, without sound: median {np.median(seconds):.2f}, 95 % {np.percentile(seconds, 95):.2f}")
