"""Mastering: every piece equally loud, never clipped.

Loudness by ITU-R BS.1770-4 (pyloudnorm), target -16 LUFS, the usual one for music on the web and for podcasts; true
peak, between the samples too, by four times oversampling as the same standard says, at most -1 dBTP. Where the gain
that loudness asks for would break the ceiling, a limiter that looks ahead turns the peak down.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float32]

LOUDNESS = -16.0  # LUFS
CEILING = -1.0  # dBTP
HEADROOM = 0.3  # dB under the ceiling that the limiter aims for: 16-bit rounding and its own gain curve stay below
OVERSHOOT = 3.5  # dB that a true peak may exceed its neighbouring samples by; above what music reaches
TOLERANCE = 0.3  # LU that limiting may take before its loss is made up for
ROUNDS = 8  # sparse clicks, all peak and little loudness, need most
BLOCK = 32  # samples that share one gain, 0.7 ms at 48 kHz
LOOK_AHEAD = 45  # blocks each way, 30 ms


def envelope(samples: Samples) -> npt.NDArray[np.float32]:
    """The larger magnitude of the two channels: [n, 2] -> [n]."""
    return np.maximum(np.abs(samples[:, 0]), np.abs(samples[:, 1]))


def loudness(samples: Samples, rate: int) -> float:
    """Integrated loudness in LUFS of float samples [n, 2]; silence is added to sounds shorter than 0.4 seconds."""
    import pyloudnorm

    shortest = int(0.4 * rate) + 2  # the standard's block
    if len(samples) < shortest:
        samples = np.pad(samples, ((0, shortest - len(samples)), (0, 0)))
    # Every third sample: loudness is energy, and what folds down from above a sixth of 48 kHz weighs the same there. Of
    # the nine moods it moves the result by at most .005 LU.
    every = 3 if rate >= 44_100 else 1
    return float(pyloudnorm.Meter(rate / every).integrated_loudness(samples[::every].astype(np.float64)))


def true_peak(samples: Samples, rate: int) -> float:
    """True peak in dBTP of float samples [n, 2]."""
    import soxr

    peak = float(np.abs(soxr.resample(samples, rate, rate * 4)).max(initial=1e-9))
    return 20 * float(np.log10(max(peak, float(np.abs(samples).max(initial=1e-9)))))


def gain_for(samples: Samples, rate: int) -> float:
    """The factor that brings float samples [n, 2] to -16 LUFS before limiting."""
    return float(10 ** ((LOUDNESS - loudness(samples, rate)) / 20))


def master(samples: Samples, rate: int) -> Samples:
    """Float samples [n, 2] at -16 LUFS within 1 LU (limiting takes some), true peak at most -1 dBTP."""
    gain = gain_for(samples, rate)
    for _ in range(ROUNDS):
        louder = samples * np.float32(gain)
        limited = limit(louder, rate)
        missing = LOUDNESS - loudness(limited, rate) if limited is not louder else 0.0
        if abs(missing) < TOLERANCE:
            break
        gain *= 10 ** (missing / 20)
    return limited


def limit(samples: Samples, rate: int) -> Samples:
    """Float samples [n, 2] with true peaks over the ceiling turned down, smoothly within 30 ms; others untouched."""
    from scipy.ndimage import minimum_filter1d, uniform_filter1d

    ceiling = 10 ** ((CEILING - HEADROOM) / 20)
    peaks = _block_peaks(samples, rate, ceiling * 10 ** (-OVERSHOOT / 20))
    needed = np.minimum(1.0, ceiling / np.maximum(peaks, 1e-9))
    if needed.min() == 1.0:
        return samples
    window = 2 * LOOK_AHEAD + 1
    # A mean of minima, both over the same window, never exceeds what any block needs.
    smooth = uniform_filter1d(minimum_filter1d(needed, window, mode="nearest"), window, mode="nearest")
    centres = (np.arange(len(smooth)) + 0.5) * BLOCK
    curve = np.interp(np.arange(len(samples)), centres, smooth).astype(np.float32)
    return np.asarray(samples * curve[:, None], np.float32)


def _block_peaks(samples: Samples, rate: int, suspect: float) -> npt.NDArray[np.float64]:
    """Peak of each block of `BLOCK` samples; the true peak wherever a sample comes near `suspect`."""
    import soxr

    count = -(-len(samples) // BLOCK)
    padded = np.zeros(count * BLOCK, np.float32)
    padded[: len(samples)] = envelope(samples)
    peaks: npt.NDArray[np.float64] = padded.reshape(count, BLOCK).max(axis=1).astype(np.float64)
    margin = 8  # blocks around a suspect one, for the resampler's filter
    marks = np.convolve(peaks > suspect, np.ones(2 * margin + 1), mode="same") > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], marks, [False]]).astype(np.int8)))
    for begin, end in edges.reshape(-1, 2):
        region = samples[begin * BLOCK : end * BLOCK]
        region = np.pad(region, ((0, (end - begin) * BLOCK - len(region)), (0, 0)))
        dense = envelope(soxr.resample(region, rate, rate * 4))
        peaks[begin:end] = np.maximum(peaks[begin:end], dense.reshape(end - begin, BLOCK * 4).max(axis=1))
    return peaks
