"""Can the nine moods be told apart from the notes alone? A classifier, trained on half of the seeds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from generator.evaluation.measures import Space
from generator.losses import Floats, Melodies


@dataclass(frozen=True)
class Told:
    """right: whether each piece of the other half was told right [N]; confusion [9, 9]: shares, a true mood each row;
    pairs: accuracy of a classifier for each two moods, by their numbers."""

    right: npt.NDArray[np.bool_]
    confusion: Floats
    pairs: dict[tuple[int, int], float]


def tell_apart(
    tokens: npt.NDArray[np.uint8], mood: npt.NDArray[np.int64], first: npt.NDArray[np.bool_], space: Space
) -> Told:
    """Linear discriminants (shrunk, Ledoit and Wolf) of the features, mean pitch and lead of the major key.

    tokens: melodies [N, 256]; mood [N]: their numbers; first [N]: the half to train on.
    """
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis  # type: ignore[import-untyped]
    from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    melodies = Melodies(tokens)
    x = np.column_stack([space.place(tokens), melodies.pitch, melodies.mode])
    train, test = np.flatnonzero(first), np.flatnonzero(~first)
    classifier = make_pipeline(StandardScaler(), LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"))

    def guesses(learn: npt.NDArray[np.int64], ask: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        return np.asarray(classifier.fit(x[learn], mood[learn]).predict(x[ask]), np.int64)

    guessed = guesses(train, test)
    count = int(mood.max()) + 1
    confusion = np.zeros((count, count))
    np.add.at(confusion, (mood[test], guessed), 1)
    pairs = {}
    for pair in combinations(range(count), 2):
        learn, ask = (half[np.isin(mood[half], pair)] for half in (train, test))
        pairs[pair] = float((guesses(learn, ask) == mood[ask]).mean())
    return Told(guessed == mood[test], confusion / confusion.sum(1, keepdims=True), pairs)
