"""Ways between latent vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def slerp(start: npt.ArrayLike, end: npt.ArrayLike, count: int) -> npt.NDArray[np.float32]:
    """`count` points on the spherical way from one latent vector [z] to another: float32 [count, z].

    As Magenta interpolates: by the angle between the vectors, their lengths mixed as sin((1-t)w)/sin(w) and
    sin(tw)/sin(w). Where the two have the same direction, the straight line, which is that formula's limit. Raises
    ValueError for opposite vectors and vectors of length 0, between which no way is the shortest.
    """
    p0, p1 = np.asarray(start, np.float64), np.asarray(end, np.float64)
    if p0.ndim != 1 or p0.shape != p1.shape or count < 2:
        raise ValueError(
            f"slerp: expected two vectors of one length and count >= 2, not {p0.shape}, {p1.shape}, {count}"
        )
    lengths = np.linalg.norm(p0) * np.linalg.norm(p1)
    if not (np.isfinite(lengths) and lengths > 0):
        raise ValueError("slerp: expected finite vectors that are not all zeros")
    angle = np.arccos(np.clip(p0 @ p1 / lengths, -1.0, 1.0))
    t = np.linspace(0.0, 1.0, count)[:, None]
    if np.pi - angle < 1e-6:
        raise ValueError("slerp: the vectors point in opposite directions, so no way between them is the shortest")
    if angle < 1e-6:
        return ((1 - t) * p0 + t * p1).astype(np.float32)
    points: npt.NDArray[np.float64] = (np.sin((1 - t) * angle) * p0 + np.sin(t * angle) * p1) / np.sin(angle)
    return points.astype(np.float32)
