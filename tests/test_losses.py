"""The losses: 0 where nothing is left to wish, larger the further off, and the spectrogram that needs no rendering."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from generator.losses import (
    LOSSES,
    ROLES_ENOUGH,
    DensityLoss,
    Melodies,
    ModeLoss,
    PitchLoss,
    StructureLoss,
    Targets,
    exact_losses,
)
from generator.spectrum import step_energy

DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "melodies_open.npz"


def melody(pitches: list[int], length: int) -> npt.NDArray[np.uint8]:
    """Notes of `length` sixteenths, the pitches over and over."""
    tokens = np.zeros(256, np.uint8)
    places = np.arange(0, 256, length)
    tokens[places] = np.resize(np.array(pitches) - 19, len(places))
    return tokens


def real_melodies(count: int) -> npt.NDArray[np.uint8]:
    if not DATA.exists():
        pytest.skip("needs the shared melodies")
    windows = np.load(DATA)["windows"]
    chosen: npt.NDArray[np.uint8] = windows[np.random.default_rng(0).choice(len(windows), count, replace=False)]
    return chosen


def test_measures_of_a_known_melody() -> None:
    melodies = Melodies(melody([60, 67, 64, 60], 4)[None])
    assert melodies.density[0] == 4
    assert melodies.pitch[0] == pytest.approx(62.75)
    assert melodies.mode[0] > 0
    assert melodies.chord_tones[0] == 1


def test_chord_tones_lose_less_than_chromatic_notes() -> None:
    arpeggio, chromatic = melody([60, 64, 67, 72], 4), melody(list(range(60, 72)), 2)
    losses = PitchLoss()(Melodies(np.stack([arpeggio, chromatic])), Targets(4, 66, True))
    assert losses[0] < 0.15
    assert losses[1] > losses[0] + 0.2


def test_pitch_loss_grows_with_the_distance_from_the_reference() -> None:
    melodies = Melodies(melody([60, 64, 67, 64], 4)[None])
    near, far = (PitchLoss()(melodies, Targets(4, pitch, True))[0] for pitch in (63.75, 75.75))
    assert far - near == pytest.approx(1.0)  # an octave


@pytest.mark.parametrize("length", [2, 4, 8])
def test_density_loss_is_least_at_the_melodys_own_density(length: int) -> None:
    melodies = Melodies(melody([60, 62, 64, 65], length)[None])
    own = 16 / length
    losses = [DensityLoss()(melodies, Targets(density, 62, True))[0] for density in (own, own + 1, own + 3)]
    assert losses[0] == pytest.approx(0.0, abs=0.01)
    assert losses[0] < losses[1] < losses[2]


def test_a_melody_that_crowds_half_its_bars_loses_more() -> None:
    even = melody([60, 62], 4)
    uneven = even.copy()
    uneven[:128] = melody([60, 62], 2)[:128]
    uneven[128:] = 0
    uneven[128] = 41
    targets = Targets(4, 61, True)
    losses = DensityLoss()(Melodies(np.stack([even, uneven])), targets)
    assert losses[1] > losses[0] + 0.25


def test_mode_loss_tells_major_from_minor() -> None:
    major, minor = melody([60, 64, 67, 65, 62, 64, 59, 60], 4), melody([57, 60, 64, 62, 59, 60, 56, 57], 4)
    melodies = Melodies(np.stack([major, minor]))
    wanted_major, wanted_minor = (ModeLoss()(melodies, Targets(4, 62, mode)) for mode in (True, False))
    assert wanted_major[0] == 0 < wanted_major[1]
    assert wanted_minor[1] == 0 < wanted_minor[0]


def test_structure_loss_prefers_bars_that_return_and_steps_to_leaps() -> None:
    rng = np.random.default_rng(0)
    phrase = melody([60, 62, 64, 65, 67, 65, 64, 62], 2)[:64]
    returning = np.tile(phrase, 4)
    wandering = melody((60 + rng.integers(0, 5, 128)).tolist(), 2)
    leaping = melody((50 + rng.integers(0, 30, 128)).tolist(), 2)
    losses = StructureLoss()(Melodies(np.stack([returning, wandering, leaping])), Targets(8, 63, True))
    assert losses[0] == 0
    assert losses[0] < losses[2]
    assert losses[1] < losses[2]


def test_real_melodies_lack_little_structure_and_shuffled_bars_more() -> None:
    tokens = real_melodies(200)
    shuffled = np.random.default_rng(0).permutation(tokens.reshape(-1, 16)).reshape(200, 256)
    real, mixed = (StructureLoss()(Melodies(each), Targets(5, 70, True)).mean() for each in (tokens, shuffled))
    assert real < mixed / 2


def test_a_zigzag_lacks_more_structure_than_a_line_of_the_same_intervals() -> None:
    line, zigzag = melody([60, 62, 64, 65, 67, 65, 64, 62], 2), melody([60, 62, 60, 62, 64, 62, 64, 62], 2)
    losses = StructureLoss()(Melodies(np.stack([line, zigzag])), Targets(8, 63, True))
    assert losses[0] == 0
    assert losses[1] > 0.5


def test_batches_and_rows_agree_with_single_melodies() -> None:
    tokens = real_melodies(12)
    targets = Targets(5, 70, False)
    whole = exact_losses(Melodies(tokens), targets)
    assert whole.shape == (12, len(LOSSES))
    assert (whole >= 0).all()
    for row in range(12):
        assert np.allclose(exact_losses(Melodies(tokens[row : row + 1]), targets)[0], whole[row], atol=1e-5)
    melodies = Melodies(tokens)
    exact_losses(melodies, targets)
    picked = np.array([3, 3, 7])
    assert np.allclose(exact_losses(melodies.rows(picked), targets.rows(3)), whole[picked])


@pytest.mark.parametrize("wrong", [{"density": 0.0}, {"pitch": 20.0}, {"tempo": 900.0}])
def test_impossible_targets_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"target {next(iter(wrong))} must lie from"):
        Targets(**{"density": 5.0, "pitch": 70.0, "major": True, "tempo": 120.0} | wrong)  # type: ignore[arg-type]


def test_energy_follows_note_onsets() -> None:
    tokens = real_melodies(400)
    energy = step_energy(tokens, equal_loudness=True).reshape(-1, 16).sum(1)
    onsets = (tokens >= 2).reshape(-1, 16).sum(1)
    assert np.corrcoef(energy, onsets)[0, 1] > 0.95


def test_energy_agrees_with_librosa_on_the_rendered_sound() -> None:
    from importlib.resources import files

    import librosa
    import midirenderer
    import soundfile
    from scipy.stats import spearmanr

    from generator.melody import tokens_to_midi

    tokens = real_melodies(8)
    soundfont = (files("pretty_midi") / "TimGM6mb.sf2").read_bytes()
    heard = []
    for each in tokens:
        sound, rate = soundfile.read(io.BytesIO(midirenderer.render_wave_from(soundfont, tokens_to_midi(each, 120.0))))
        hop = rate // 16
        power = np.abs(librosa.stft(sound.mean(1), n_fft=2048, hop_length=hop)) ** 2
        frames = np.pad(power.sum(0), (0, 33 * 16))[: 32 * 16]
        heard.append(frames.reshape(16, 32).sum(1))
    built = step_energy(tokens).reshape(-1, 16, 16).sum(2)
    assert spearmanr(np.ravel(heard), built.ravel())[0] > 0.95


def test_more_chord_tones_than_real_melodies_have_are_not_asked_for() -> None:
    """Else nothing but the tonic, over and over, would be the best of tunes."""
    monotonous, tune = melody([60], 4), melody([60, 62, 64, 67], 4)
    melodies = Melodies(np.stack([monotonous, tune]))
    assert melodies.role_loss[0] < melodies.role_loss[1] < ROLES_ENOUGH
    losses = [float(PitchLoss()(melodies.rows(np.array([row])), Targets(4.0, pitch, True))[0])
              for row, pitch in enumerate(melodies.pitch)]  # fmt: skip
    assert losses == [0, 0]
