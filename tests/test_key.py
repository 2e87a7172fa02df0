"""Key finding and transposition on the token grid."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator.key import find_key, home_shift, pitch_class_durations, sounding_pitch, transpose

MAJOR_TUNE = (60, 62, 64, 65, 67, 64, 60, 67, 65, 64, 62, 60, 67, 64, 62, 60)
MINOR_TUNE = (69, 71, 72, 74, 76, 72, 69, 76, 74, 72, 68, 69, 76, 72, 71, 69)


def tune(pitches: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """Each pitch for a bar."""
    tokens = np.zeros(256, np.uint8)
    tokens[::16] = np.array(pitches) - 19
    return tokens


@pytest.mark.parametrize("shift", range(-6, 6))
def test_a_scale_is_found_in_every_key(shift: int) -> None:
    major, minor = (find_key(transpose(tune(pitches), shift)) for pitches in (MAJOR_TUNE, MINOR_TUNE))
    assert (major.tonic, major.major) == (shift % 12, True)
    assert (minor.tonic, minor.major) == ((9 + shift) % 12, False)


@pytest.mark.parametrize("shift", range(-6, 6))
def test_home_undoes_a_transposition(shift: int) -> None:
    for pitches in (MAJOR_TUNE, MINOR_TUNE):
        home = transpose(tune(pitches), home_shift(tune(pitches)))
        moved = transpose(tune(pitches), shift)
        again = transpose(moved, home_shift(moved))
        assert np.array_equal(pitch_class_durations(again), pitch_class_durations(home))


def test_sounding_pitch_follows_holds_and_note_offs() -> None:
    tokens = np.zeros(256, np.uint8)
    tokens[[2, 4, 6, 10]] = 41, 1, 43, 45
    expected = [0, 0, 60, 60, 0, 0, 62, 62, 62, 62, 64]
    assert sounding_pitch(tokens)[:11].tolist() == expected
    assert (sounding_pitch(tokens)[11:] == 64).all()


@given(st.lists(st.integers(0, 89), min_size=256, max_size=256), st.integers(-24, 24))
def test_transposing_keeps_events_and_moves_pitch_classes(events: list[int], shift: int) -> None:
    tokens = np.array(events, np.uint8)
    moved = transpose(tokens, shift)
    assert np.array_equal(moved < 2, tokens < 2)
    assert np.array_equal(moved[tokens < 2], tokens[tokens < 2])
    notes = tokens >= 2
    assert ((moved[notes].astype(int) - tokens[notes] - shift) % 12 == 0).all()
    assert (moved[notes] <= 89).all()
