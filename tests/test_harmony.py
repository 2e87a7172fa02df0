"""Chords: textbook tunes, every key, the mode asked for, cadences, and that the best path is the best."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from generator import harmony, key
from generator.harmony import CHORD_QUALITIES, chords_of, infer_chords
from generator.key import Key
from generator.melody import Tokens
from tests.tunes import random_tune

LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def tune(*phrases: str) -> Tokens:
    """ "C4:8" is C4 for eight sixteenths."""
    tokens, step = np.zeros(256, np.uint8), 0
    for word in " ".join(phrases).split():
        name, length = word.split(":")
        tokens[step] = 12 * (int(name[-1]) + 1) + LETTERS[name[0]] - 19
        step += int(length)
    assert step == 256
    return tokens


TWINKLE_A = "C4:4 C4:4 G4:4 G4:4 A4:4 A4:4 G4:8 F4:4 F4:4 E4:4 E4:4 D4:4 D4:4 C4:8"
TWINKLE_B = "G4:4 G4:4 F4:4 F4:4 E4:4 E4:4 D4:8"
TWINKLE = tune(TWINKLE_A, TWINKLE_B, TWINKLE_B, TWINKLE_A, TWINKLE_A)
ODE = "E4:4 E4:4 F4:4 G4:4 G4:4 F4:4 E4:4 D4:4 C4:4 C4:4 D4:4 E4:4"
ODE_TO_JOY = tune(
    ODE, "E4:6 D4:2 D4:8", ODE, "D4:6 C4:2 C4:8",
    "D4:4 D4:4 E4:4 C4:4 D4:4 E4:2 F4:2 E4:4 C4:4 D4:4 E4:2 F4:2 E4:4 D4:4 C4:4 D4:4 G3:8",
    ODE, "D4:6 C4:2 C4:8",
)  # fmt: skip
# A plain tune in A minor without its leading tone.
MINOR = tune("A4:8 C5:8 B4:8 E4:8 A4:4 B4:4 C5:4 D5:4 E5:16 F5:8 D5:8 E5:8 C5:8 D5:4 C5:4 B4:8 A4:16 " * 2)


@st.composite
def melodies(draw: st.DrawFn, count: int = 1) -> npt.NDArray[np.uint8]:
    """Random notes of a random scale, with rests: [count, 256], far from the grid's ends."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scale = np.flatnonzero(np.isin(np.arange(36, 72) % 12, (rng.integers(12) + np.array([0, 2, 4, 5, 7, 9, 11])) % 12))
    tokens = rng.choice(scale, (count, 256)) + 36 - 19 + 12
    keep = rng.random((count, 256))
    return np.where(keep < 0.3, tokens, np.where(keep < 0.33, 1, 0)).astype(np.uint8)


def numerals(tokens: Tokens, **options: bool) -> list[str]:
    return [chord.numeral for chord in infer_chords(tokens, **options)]


def test_twinkle_has_its_textbook_chords() -> None:
    assert numerals(TWINKLE, half_bars=True)[:8] == ["I", "I", "IV", "I", "IV", "I", "V", "I"]
    assert numerals(TWINKLE, half_bars=True)[-8:-4] == ["I", "I", "IV", "I"]
    assert numerals(TWINKLE)[0] == "I"
    assert numerals(TWINKLE)[-2:] in (["V7", "I"], ["V", "I"])


def test_ode_to_joy_has_its_textbook_chords() -> None:
    degrees = [n.replace("V7", "V") for n in numerals(ODE_TO_JOY)]
    assert degrees == ["I", "V", "I", "V", "I", "V", "I", "I", "V", "I", "V", "I", "I", "V", "I", "I"]


def test_minor_tune_ends_with_a_minor_cadence() -> None:
    assert harmony.harmony_key(MINOR).major is False
    chords = infer_chords(MINOR)
    assert chords[0].name == "Am"
    assert chords[-1].numeral == "i"
    assert any(c.name in ("E", "E7") for c in chords), "the dominant has its leading tone"


def test_asked_mode_is_kept() -> None:
    assert infer_chords(TWINKLE, major=True)[-1].quality in ("", "7")
    minor = infer_chords(TWINKLE, major=False)
    assert harmony.harmony_key(TWINKLE, major=False).major is False
    assert {"i", "iv", "VI", "III"} & {c.numeral for c in minor}


@pytest.mark.parametrize("shift", range(-6, 6))
@pytest.mark.parametrize("tokens", [TWINKLE, ODE_TO_JOY, MINOR], ids=["twinkle", "ode", "minor"])
def test_every_key_gets_the_same_chords(tokens: Tokens, shift: int) -> None:
    home, moved = infer_chords(tokens), infer_chords(key.transpose(tokens, shift))
    assert [c.numeral for c in moved] == [c.numeral for c in home]
    assert [(c.root - shift) % 12 for c in moved] == [c.root for c in home]


@settings(max_examples=50, deadline=None)
@given(melodies(count=5), st.booleans())
def test_a_batch_gives_what_each_melody_gives(tokens: npt.NDArray[np.uint8], major: bool) -> None:
    for asked in (None, major):
        roots, qualities = chords_of(tokens, None if asked is None else np.full(5, asked))
        assert roots.shape == qualities.shape == (5, 16)
        assert roots.dtype == qualities.dtype == np.int8
        for n in range(5):
            chords = infer_chords(tokens[n], asked)
            assert [c.root for c in chords] == roots[n].tolist()
            assert [c.quality for c in chords] == [list(CHORD_QUALITIES)[q] for q in qualities[n]]


@settings(max_examples=50, deadline=None)
@given(melodies(), st.sampled_from([16, 32]), st.randoms(use_true_random=False))
def test_no_other_path_scores_better(tokens: npt.NDArray[np.uint8], segments: int, random: st.DataObject) -> None:
    """Viterbi against paths that differ from its answer in one to three places, scored here on their own."""
    tonics, modes = harmony._keys(tokens, None)
    fit, between, within, cadence = harmony._model(bool(modes[0]))
    weights = harmony._pitch_class_weights(tokens, tonics, segments)[0]
    per_bar = segments // 16
    bonus = harmony._bonus(cadence, per_bar)

    def score(path: list[int]) -> float:
        total = 0.0
        for t, state in enumerate(path):
            total += float(weights[t] @ fit[state]) + bonus[t, state]
            if t:
                total -= (between if t % per_bar == 0 else within)[path[t - 1], state]
        return total

    best = harmony._best_paths(tokens, tonics, modes, segments)[0].tolist()
    for _ in range(200):
        other = list(best)
        for _ in range(random.randint(1, 3)):  # type: ignore[attr-defined]
            other[random.randrange(segments)] = random.randrange(len(fit))  # type: ignore[attr-defined]
        assert score(other) <= score(best) + 1e-9


@settings(max_examples=30, deadline=None)
@given(melodies(count=8))
def test_chords_fit_better_than_any_fixed_chord(tokens: npt.NDArray[np.uint8]) -> None:
    """Chords follow the melody: more of the notes are chord tones than with the best single chord throughout."""
    roots, qualities = chords_of(tokens)
    pitch = key.sounding_pitch(tokens).reshape(8, 16, 16)
    triads = np.zeros((len(CHORD_QUALITIES), 12), bool)
    for row, tones in enumerate(CHORD_QUALITIES.values()):
        triads[row, list(tones)] = True
    share = (triads[qualities[:, :, None], (pitch - roots[:, :, None]) % 12] & (pitch > 0)).sum((1, 2))
    fixed = [
        (triads[quality, (pitch - root) % 12] & (pitch > 0)).sum((1, 2)) for root in range(12) for quality in (0, 1)
    ]
    assert share.sum() > np.max(fixed, axis=0).sum()


def test_tunes_that_end_on_the_tonic_get_an_authentic_cadence() -> None:
    """100 random tunes in C whose bar 15 is made of the dominant's tones and bar 16 holds C."""
    rng = np.random.default_rng(5)
    tokens = np.zeros((100, 256), np.uint8)
    tokens[:, ::4] = rng.choice([41, 43, 45, 46, 48, 50], (100, 64))
    tokens[:, 224:240:4] = rng.choice([48, 52, 43], (100, 4))
    tokens[:, 240:] = 0
    tokens[:, 240] = 41
    roots, qualities = chords_of(tokens, np.ones(100, bool))
    in_c = key.key_correlations(key.pitch_class_durations(tokens))[:, :12].argmax(1) == 0
    assert in_c.sum() > 60
    assert np.all(roots[in_c, 15] == 0)
    assert np.mean(roots[in_c, 14] == 7) > 0.9
    assert set(qualities[in_c, 15]) == {list(CHORD_QUALITIES).index("")}


def test_half_bars_close_with_the_dominant_just_before_the_tonic() -> None:
    """Bar 15 lies on the subdominant and then on the dominant; bar 16 holds the tonic."""
    tokens = tune(*[TWINKLE_A] * 3, "G4:4 F4:4 E4:4 D4:4 C4:16 F4:4 A4:4 G4:4 B4:4 C5:16")
    chords = infer_chords(tokens, half_bars=True)
    assert [chord.numeral for chord in chords[-4:]] == ["IV", "V7", "I", "I"]
    assert harmony.by_bar(chords)[-2:] == ["F (IV) G7 (V7)", "C (I)"]
    assert harmony.by_bar(infer_chords(TWINKLE))[0] == "C (I)"


def test_nearly_every_tune_is_closed_on_its_tonic() -> None:
    """Tunes that end anywhere, whose last half bar may ask for another chord."""
    tunes = [random_tune(seed) for seed in range(100)]
    assert np.mean([numerals(each, half_bars=True)[-1] in ("I", "i") for each in tunes]) > 0.9


def test_silence_gets_chords_too() -> None:
    chords = infer_chords(np.zeros(256, np.uint8))
    assert len(chords) == 16
    assert chords[-1].numeral in ("I", "i")
    assert chords_of(np.zeros((0, 256), np.uint8))[0].shape == (0, 16)


@pytest.mark.parametrize(
    ("tonic", "major", "pitch_class", "name"),
    [
        (0, True, 10, "Bb"), (0, False, 8, "Ab"), (9, False, 8, "G#"), (1, True, 5, "F"), (1, True, 6, "Gb"),
        (8, False, 7, "F##"), (6, True, 5, "E#"), (3, False, 11, "Cb"), (4, False, 3, "D#"), (5, True, 10, "Bb"),
    ],
)  # fmt: skip
def test_spelling_follows_the_key(tonic: int, major: bool, pitch_class: int, name: str) -> None:
    assert harmony.spell(pitch_class, Key(tonic, major, 1.0)) == name


def test_every_name_in_every_key_means_its_pitch() -> None:
    for tonic in range(12):
        for major in (True, False):
            for pitch_class in range(12):
                name = harmony.spell(pitch_class, Key(tonic, major, 1.0))
                assert (LETTERS[name[0]] + name.count("#") - name.count("b")) % 12 == pitch_class
                assert len(name) <= 3


def test_chord_tones() -> None:
    chord = harmony.Chord(7, "7", "G7", "V7")
    assert chord.tones == (7, 11, 2, 5)
    assert str(chord) == "G7"
