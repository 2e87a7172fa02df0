"""The figures of a run: each measure of each method, with its interval."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

import emotion
from generator.evaluation.copying import longest_shared_runs
from generator.evaluation.measures import Space, features, frechet, interval, nearest_real, pairwise_distance
from generator.evaluation.moods import Told, tell_apart
from generator.evaluation.rivals import FULL
from generator.evaluation.run import JOINT, MOODS, SAME, SAME_TARGETS, Outcome, Plan
from generator.losses import Floats, Melodies
from generator.musicvae.corpus import Corpus
from generator.musicvae.statistics import overlap

SPACE_FROM = 8000  # training melodies
PRIOR = "prior sample"

Estimate = tuple[float, float, float]  # value, and its 95 % interval


@dataclass(frozen=True)
class Figures:
    """A run and the melodies it is held against: training and held-out ones, in the home key."""

    plan: Plan
    outcomes: dict[str, Outcome]
    seconds: float
    training: Corpus
    held_out: Corpus

    @cached_property
    def space(self) -> Space:
        """Features in units of their spread over training melodies."""
        return Space.of(self.training.draw(np.random.default_rng(1), SPACE_FROM))

    @cached_property
    def wanted(self) -> npt.NDArray[np.int64]:
        """The rows of the joint random targets."""
        return np.flatnonzero(self.plan.group == JOINT)

    @cached_property
    def real(self) -> npt.NDArray[np.uint8]:
        """A held-out melody for each joint target, of its mode and density."""
        return self._matched(0)

    def _matched(self, seed: int) -> npt.NDArray[np.uint8]:
        targets = self.plan.targets.of(self.wanted)
        return self.held_out.windows[nearest_real(self.held_out, targets.density, targets.major, seed)]

    @cached_property
    def real_features(self) -> dict[str, Floats]:
        """The features of `real`."""
        return features(self.real)

    @cached_property
    def drawn(self) -> npt.NDArray[np.uint8]:
        """As many held-out melodies as they come, drawn by weight."""
        return self.held_out.draw(np.random.default_rng(2), len(self.wanted))

    def melodies(self, method: str) -> Melodies:
        """What a method made for the joint targets."""
        return Melodies(self.outcomes[method].of(self.plan, JOINT).tokens)

    def control(self, method: str, most: int | None = None) -> dict[str, Estimate]:
        """Density, mean pitch and mode as asked, and the time; most: on the first so many targets."""
        made = self.outcomes[method].of(self.plan, JOINT)
        targets, melodies = self.plan.targets.of(made.rows[:most]), Melodies(made.tokens[:most])
        count = len(melodies.tokens)
        density, pitch = melodies.density, melodies.pitch
        right = (melodies.mode > 0) == targets.major
        seconds = made.seconds[:most]
        return {
            "density r": interval(lambda i: _r(targets.density[i], density[i]), count),
            "density error": interval(lambda i: float(np.abs(targets.density - density)[i].mean()), count),
            "pitch r": interval(lambda i: _r(targets.pitch[i], pitch[i]), count),
            "pitch error": interval(lambda i: float(np.abs(targets.pitch - pitch)[i].mean()), count),
            "mode right": interval(lambda i: float(right[i].mean()), count),
            "seconds, median": interval(lambda i: float(np.median(seconds[i])), count),
            "seconds, 95 %": interval(lambda i: float(np.percentile(seconds[i], 95)), count),
        }

    def music(self, method: str | None, most: int | None = None) -> dict[str, Estimate]:
        """How near to real music a method's melodies are, on the first so many targets; None: other held-out melodies
        for the same targets."""
        tokens = (self._matched(1) if method is None else self.melodies(method).tokens)[:most]
        count = len(tokens)
        points, matched, drawn = (self.space.place(each[:count]) for each in (tokens, self.real, self.drawn))
        chord_tones = Melodies(tokens).chord_tones
        ours, theirs = features(tokens), {name: values[:count] for name, values in self.real_features.items()}

        def mean_area(i: npt.NDArray[np.int64]) -> float:
            return float(np.mean([overlap(theirs[name], ours[name][i]) for name in ours]))

        return {
            "chord tones": interval(lambda i: float(chord_tones[i].mean()), count),
            "Fréchet, matched": interval(lambda i: frechet(points[i], matched), count, True),
            "Fréchet, as they come": interval(lambda i: frechet(points[i], drawn), count, True),
            "overlap": interval(mean_area, count, True),
        }

    def areas(self, method: str) -> dict[str, float]:
        """Area that the distributions of each feature share with the matched real melodies."""
        ours, theirs = features(self.melodies(method).tokens), self.real_features
        return {name: overlap(theirs[name], ours[name]) for name in ours}

    def diversity(self, method: str) -> Estimate:
        """Mean pairwise distance of the pieces for one target, over the targets, as a share of the prior samples'."""
        each, base = (self._distances(name) for name in (method, PRIOR))
        return interval(lambda i: float(each[i].mean() / base.mean()), len(each))

    def _distances(self, method: str) -> npt.NDArray[np.float64]:
        made = self.outcomes[method].of(self.plan, SAME)
        target = self.plan.index[made.rows]
        return np.concatenate([pairwise_distance(made.tokens[target == k]) for k in range(SAME_TARGETS)])

    def runs(self, method: str | None, rhythm: bool) -> npt.NDArray[np.int64]:
        """The longest run of intervals shared with any training melody, a melody each; None: of the matched real
        ones, which are of other origin than the training melodies."""
        tokens = self.real if method is None else self.melodies(method).tokens
        return longest_shared_runs(tokens, self.training.windows, rhythm)

    @cached_property
    def told(self) -> Told:
        """The nine moods, told apart from the notes of the method's pieces."""
        made = self.outcomes[FULL].of(self.plan, MOODS)
        seeds = self.plan.seed[made.rows]
        return tell_apart(made.tokens, self.plan.index[made.rows], seeds < (seeds.max() + 1) // 2, self.space)

    @cached_property
    def of_moods(self) -> list[dict[str, str]]:
        """What the method's pieces for each mood reach, as a row of a table."""
        made = self.outcomes[FULL].of(self.plan, MOODS)
        table = []
        for number, mood in enumerate(emotion.categories()):
            mine = self.plan.index[made.rows] == number
            melodies, targets = Melodies(made.tokens[mine]), self.plan.targets.of(made.rows[mine])
            off = np.abs(melodies.pitch - targets.pitch)
            table.append(
                {
                    "mood": mood,
                    "notes a bar: wanted": f"{targets.density[0]:.2f}",
                    "reached": f"{melodies.density.mean():.2f} ± {melodies.density.std():.2f}",
                    "pitch off, semitones": f"{off.mean():.2f}",
                    "mode right": f"{((melodies.mode > 0) == targets.major).mean():.0%}",
                    "chord tones": f"{melodies.chord_tones.mean():.0%} ± {melodies.chord_tones.std():.0%}",
                }
            )
        return table


def _r(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float:
    """Pearson's correlation."""
    return float(np.corrcoef(first, second)[0, 1])
