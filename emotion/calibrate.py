"""Fits the ensemble's shares and temperatures to labelled pictures, for whoever has a data set that may not ship.

A network that is too sure of itself is softened and one too modest sharpened (temperature scaling, Guo et al. 2017,
arXiv 1706.04599), and the three are weighed, so that probabilities match how often they come true. The fit is the most
probable one under a prior at equal shares and no change of temperature: few pictures move it little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .errors import EmotionError
from .recognizer import Probabilities

FOLDS = 5
SPREAD = 0.5  # standard deviation of the prior, of a share's logit and of a temperature's logarithm
Networks = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """How three networks become one: each one's probabilities to the power 1 / temperature, scaled to sum to 1, weighed
    by the shares, which sum to 1."""

    shares: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)
    temperatures: tuple[float, ...] = (1.0, 1.0, 1.0)

    def ensemble(self, networks: Networks) -> Probabilities:
        """networks (n, 2, 3, 7): each one's probabilities for faces and their mirror images -> (n, 7)."""
        sharpened = networks ** (1 / np.array(self.temperatures))[:, None]
        sharpened /= sharpened.sum(axis=-1, keepdims=True)
        return np.asarray(np.einsum("nmkc,k->nc", sharpened, np.array(self.shares)) / networks.shape[1], np.float64)


def fit(networks: Networks, labels: NDArray[np.int64]) -> Calibration:
    """The most probable calibration for networks (n, 2, 3, 7) and labels (n,), indices into EXPRESSIONS."""
    from scipy.optimize import minimize

    def calibration(numbers: NDArray[np.float64]) -> Calibration:
        shares = np.exp(numbers[:3]) / np.exp(numbers[:3]).sum()
        return Calibration(tuple(shares.tolist()), tuple(np.exp(numbers[3:]).tolist()))

    def unlikelihood(numbers: NDArray[np.float64]) -> float:
        prior = (numbers**2).sum() / (2 * SPREAD**2)
        return surprise(calibration(numbers).ensemble(networks), labels) * len(labels) + float(prior)

    return calibration(minimize(unlikelihood, np.zeros(6), method="L-BFGS-B").x)


def cross_fitted(networks: Networks, labels: NDArray[np.int64]) -> Probabilities:
    """Probabilities (n, 7) of each picture by a calibration fitted to the other pictures only.

    Raises EmotionError where an expression that occurs has fewer pictures than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold  # type: ignore[import-untyped]

    if (rarest := np.bincount(labels)[np.unique(labels)].min()) < FOLDS:
        raise EmotionError(f"An expression has {rarest} pictures; at least {FOLDS} of each that occurs are needed.")
    found = np.zeros((len(labels), networks.shape[-1]))
    for others, held_out in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(labels, labels):
        found[held_out] = fit(networks[others], labels[others]).ensemble(networks[held_out])
    return found


def surprise(probabilities: Probabilities, labels: NDArray[np.int64]) -> float:
    """Mean negative log likelihood of the labels in nats, >= 0: less is better calibrated or more often right."""
    likelihood = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(likelihood, 1e-12)).mean())
