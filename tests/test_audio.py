"""The sound that is made: loudness and peaks by outside measures, its tail, its ends, and what cannot be rendered."""

from __future__ import annotations

import io
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import numpy.typing as npt
import pretty_midi
import pyloudnorm
import pytest
import soundfile
from scipy.signal import resample_poly

from generator import audio, mastering, melody, styles
from generator.audio import AudioError, Renderer
from generator.export import Export

SOUNDFONT = Path(pretty_midi.__file__).parent / "TimGM6mb.sf2"


def scale_tune() -> melody.Tokens:
    """Eighth notes up and down over 16 bars."""
    tokens = np.zeros(256, np.uint8)
    degrees = [0, 2, 4, 5, 7, 9, 11, 12, 11, 9, 7, 5, 4, 2]
    tokens[::2] = [41 + degrees[k % 14] for k in range(128)]
    return tokens


def played(program: int = 0, velocity: int = 80, seconds: float = 8.0, drums: bool = False) -> bytes:
    midi = pretty_midi.PrettyMIDI()
    track = pretty_midi.Instrument(program, is_drum=drums)
    for k in range(int(seconds * 2)):
        track.notes.append(pretty_midi.Note(velocity, 38 if drums else 60 + k % 8, k / 2, k / 2 + 0.5))
    midi.instruments.append(track)
    out = io.BytesIO()
    midi.write(out)
    return out.getvalue()


def decoded(wav: bytes) -> npt.NDArray[np.float64]:
    with soundfile.SoundFile(io.BytesIO(wav)) as file:
        assert (file.samplerate, file.channels, file.subtype, file.format) == (48_000, 2, "PCM_16", "WAV")
        return np.asarray(file.read())


def decibels(value: float) -> float:
    return 20 * float(np.log10(max(value, 1e-9)))


SOUNDS = {
    "piano": played(0),
    "quiet piano": played(0, velocity=15),
    "strings": played(48),
    "flute": played(73),
    "drums": played(velocity=120, drums=True),
    "a wood block now and then": played(115, velocity=127, seconds=1),
    "melody": melody.tokens_to_midi(scale_tune(), 100),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_loudness_and_true_peak(name: str) -> None:
    samples = decoded(audio.render(SOUNDS[name], audio.package_renderer()))
    assert pyloudnorm.Meter(48_000).integrated_loudness(samples) == pytest.approx(-16, abs=1)
    assert decibels(np.abs(resample_poly(samples, 4, 1, axis=0)).max()) <= -1.0


@pytest.mark.parametrize("name", SOUNDS)
def test_no_click_at_either_end_and_no_dead_end(name: str) -> None:
    samples = decoded(audio.render(SOUNDS[name], audio.package_renderer()))
    assert not samples[0].any()
    assert not samples[-1].any()
    peak = np.abs(samples).max()
    assert decibels(np.abs(samples[-480:]).max() / peak) < -55
    assert decibels(np.abs(samples[-24_000:]).max() / peak) > -62, "half a second of nothing at the end"


def test_tail_is_kept() -> None:
    """The sound goes on after the last note off, and fades there instead of being cut."""
    samples = decoded(audio.render(SOUNDS["strings"], audio.package_renderer()))
    after = samples[8 * 48_000 :]
    assert len(after) > 0.3 * 48_000
    steps = [np.abs(after[k : k + 2_400]).max() for k in range(0, len(after), 2_400)]
    assert steps[0] > 0.02
    assert max(np.diff(20 * np.log10(np.maximum(steps, 1e-5)))) < 6, "the tail swells"
    assert steps[-1] < 0.002


def test_sound_keeps_the_midi_files_time() -> None:
    """Eighth notes at 100 bpm: the energy rises every 0.3 seconds, from the first sample on."""
    samples = np.abs(decoded(audio.render(melody.tokens_to_midi(scale_tune(), 100), audio.package_renderer()))).sum(1)
    for k in (0, 1, 50, 127):
        before = samples[max(0, int((k * 0.3 - 0.02) * 48_000)) : int(k * 0.3 * 48_000) + 1].max()
        after = samples[int((k * 0.3 + 0.005) * 48_000) : int((k * 0.3 + 0.05) * 48_000)].max()
        assert after > 1.5 * before


def test_same_midi_same_bytes() -> None:
    assert audio.render(SOUNDS["piano"]) == audio.render(SOUNDS["piano"])


def test_tags_are_in_the_file() -> None:
    wav = audio.render(SOUNDS["piano"], tags={"title": "peaceful 7", "artist": "Maeum"})
    with soundfile.SoundFile(io.BytesIO(wav)) as file:
        assert (file.title, file.artist) == ("peaceful 7", "Maeum")


def test_sixteen_bits_are_rounded_and_never_wrap() -> None:
    step = 1 / 32_768
    samples = np.array([[0.0, 0.6 * step], [-0.6 * step, 1.0], [-1.0, 1.5], [-1.5, 0.5]], np.float32)
    expected = [[0, 1], [-1, 32_767], [-32_768, 32_767], [-32_768, 16_384]]
    assert np.array_equal(soundfile.read(io.BytesIO(audio.encode_wav(samples)), dtype="int16")[0], expected)
    assert samples[1, 1] == 1.0, "its argument is left alone"


@pytest.mark.parametrize("peak", [0.5, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(3))
def test_limiter_holds_the_ceiling_and_leaves_quiet_alone(peak: float, seed: int) -> None:
    """Bursts of noise and high tones, whose peaks lie between the samples."""
    rng = np.random.default_rng(seed)
    samples = (0.05 * np.sin(np.arange(96_000)[:, None] * [0.05, 0.06])).astype(np.float32)
    quiet = samples.copy()
    for start in (20_000, 60_000):
        tone = np.sin(np.arange(500) * np.pi / 2 + np.pi / 4 + rng.uniform(0, 0.1))
        samples[start : start + 500, 0] += np.float32(peak) * tone.astype(np.float32)
        samples[start + 40 : start + 240] += np.float32(peak) * rng.uniform(-1, 1, (200, 2)).astype(np.float32)
    limited = mastering.limit(samples, 48_000)
    assert decibels(np.abs(resample_poly(limited.astype(np.float64), 4, 1, axis=0)).max()) <= -1.0
    assert np.array_equal(limited[40_000:50_000], quiet[40_000:50_000])


def looping_forever() -> bytes:
    file = mido.MidiFile()
    file.add_track().extend([mido.Message("note_on", note=60), mido.Message("note_off", note=60, time=2_000_000)])
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


BAD = {
    "nothing": (b"", "expected a MIDI file"),
    "a picture": (b"\x89PNG" + bytes(50), "expected a MIDI file"),
    "cut short": (SOUNDS["piano"][:80], "expected a MIDI file"),
    "no notes": (melody.tokens_to_midi(np.zeros(256, np.uint8)), "silence"),
    "far too long": (looping_forever(), "600 seconds"),
    "far too large": (bytes(audio.MAX_BYTES + 1), "bytes"),
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_midi_is_refused_with_a_reason(name: str) -> None:
    midi, message = BAD[name]
    with pytest.raises(AudioError, match=message):
        audio.render(midi)


def test_unusable_soundfont_is_refused_with_a_reason(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(SOUNDFONT.read_bytes()[:5000])
    for soundfont in (broken, tmp_path / "missing.sf2"):
        with pytest.raises(AudioError, match=rf"{soundfont.name}.*check the soundfont"):
            audio.render(SOUNDS["piano"], Renderer("midirenderer", soundfont))


def test_soundfont_gone_from_the_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audio, "find_spec", lambda name: None)
    with pytest.raises(AudioError, match="reinstall pretty_midi"):
        audio.package_renderer()


def test_fluidsynth_is_chosen_where_it_and_its_soundfont_are_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    soundfont = tmp_path / "FluidR3_GM.sf2"
    monkeypatch.setattr(audio, "FLUID_SOUNDFONTS", (soundfont,))
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    assert audio.best_renderer().program == "midirenderer"
    soundfont.touch()
    assert str(audio.best_renderer()) == "fluidsynth with FluidR3_GM.sf2"
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert str(audio.best_renderer()) == "midirenderer with TimGM6mb.sf2"


def test_fluidsynth_that_writes_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """midi2audio ignores the program's exit code; here the program does nothing."""
    nothing = tmp_path / "fluidsynth"
    nothing.write_text("#!/bin/sh\n")
    nothing.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(AudioError, match="wrote no sound"):
        audio.render(SOUNDS["piano"], Renderer("fluidsynth", SOUNDFONT))


def test_another_soundfont_gets_volumes_of_its_own() -> None:
    """What it plays softer is turned up against the rest, by the decibels that were measured."""
    file = mido.MidiFile(file=io.BytesIO(mood_piece("gloomy").midi))
    before = volumes(file)
    louder = styles.louder("FluidR3_GM")
    audio._balance(file, louder)
    after = volumes(file)
    changes = {program: 40 * np.log10(after[program] / before[program]) for program in before}
    assert len(changes) == 4
    for program, change in changes.items():
        assert change - changes[42] == pytest.approx(louder[42] - louder[program], abs=0.4)
    audio._balance(file, styles.louder(SOUNDFONT.stem))
    assert volumes(file) == after


def mood_piece(mood: str) -> Export:
    return Export(scale_tune(), mood, 1, 100.0, True, 5.0)


def volumes(file: mido.MidiFile) -> dict[int, int]:
    """Controller 7 by program."""
    messages = [message for track in file.tracks for message in track]
    programs = {m.channel: m.program for m in messages if m.type == "program_change"}
    return {programs[m.channel]: m.value for m in messages if m.type == "control_change" and m.control == 7}


def stems(piece: Export) -> dict[str, float]:
    """Loudness of each part in LUFS: {"melody": -17.0, ...}."""
    with zipfile.ZipFile(io.BytesIO(piece.file("stems.zip"))) as file:
        return {
            name.split("-")[-1].removesuffix(".wav"): pyloudnorm.Meter(48_000).integrated_loudness(
                decoded(file.read(name))
            )
            for name in file.namelist()
        }


FLUID_SOUNDFONT = next((path for path in audio.FLUID_SOUNDFONTS if path.is_file()), None)
needs_fluidsynth = pytest.mark.skipif(
    not shutil.which("fluidsynth"), reason="fluidsynth is not installed (sudo apt-get install fluidsynth)"
)


@needs_fluidsynth
def test_fluidsynth_meets_the_same_figures(capfd: pytest.CaptureFixture[str]) -> None:
    piece = replace(mood_piece("intense"), renderer=Renderer("fluidsynth", SOUNDFONT))
    samples = decoded(piece.file("wav"))
    assert pyloudnorm.Meter(48_000).integrated_loudness(samples) == pytest.approx(-16, abs=1)
    assert decibels(np.abs(resample_poly(samples, 4, 1, axis=0)).max()) <= -1.0
    assert 16 * 2.4 < len(samples) / 48_000 < 16 * 2.4 + audio.TAIL
    assert not samples[0].any()
    assert not samples[-1].any()
    assert capfd.readouterr() == ("", ""), "fluidsynth's greeting"


@needs_fluidsynth
def test_both_renderers_play_every_part_alike() -> None:
    """The same soundfont: each part is as loud, within what another synthesiser's reverb and filters change."""
    piece = mood_piece("intense")
    ours = stems(replace(piece, renderer=audio.package_renderer()))
    fluid = stems(replace(piece, renderer=Renderer("fluidsynth", SOUNDFONT)))
    assert list(fluid) == ["melody", "chords", "bass", "pad", "drums"]
    assert fluid == pytest.approx(ours, abs=3)


@needs_fluidsynth
@pytest.mark.skipif(
    not FLUID_SOUNDFONT, reason="FluidR3_GM.sf2 is not installed (sudo apt-get install fluid-soundfont-gm)"
)
@pytest.mark.parametrize("mood", ["gloomy", "refreshing", "bright", "peaceful"])
def test_the_larger_soundfont_keeps_the_melody_in_front(mood: str) -> None:
    found = stems(replace(mood_piece(mood), renderer=audio.best_renderer()))
    assert found.pop("melody") > max(found.values()) + 1
    assert min(found.values()) > -40


def test_flac_holds_the_very_samples_of_the_wav_file_in_less_room() -> None:
    samples = np.random.default_rng(1).normal(0, 0.1, (audio.SAMPLE_RATE, 2)).astype(np.float32)
    wav, flac = audio.encode_wav(samples), audio.encode_flac(samples, {"title": "Noise"})
    assert np.array_equal(*(soundfile.read(io.BytesIO(data), dtype="int16")[0] for data in (wav, flac)))
    assert len(flac) < len(wav)
    assert soundfile.SoundFile(io.BytesIO(flac)).copy_metadata()["title"] == "Noise"
