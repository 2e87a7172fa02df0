"""Notes to sound: a MIDI file in, a mastered stereo WAV out.

midirenderer (rustysynth, from pip) with the General MIDI soundfont that pretty_midi's package carries is always there.
FluidSynth with a better soundfont is used instead where Debian's `fluidsynth` and `fluid-soundfont-gm` are installed.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from generator import mastering, styles

if TYPE_CHECKING:
    import mido

Samples = npt.NDArray[np.float32]

SAMPLE_RATE = 48_000  # Hz
TAIL = 4.0  # seconds rendered after the last event, for release and reverb; what stays silent is cut off again
SILENCE = 1e-3  # of the peak, -60 dB: the tail is cut where it falls below
FADE = 0.003, 0.05  # seconds of fade in and out, against clicks
MAX_BYTES = 1_000_000
MAX_SECONDS = 600.0
DRUM_CHANNEL = 9  # of General MIDI, from 0
HEADROOM = 10.0  # LU that parts are turned down by where a soundfont needs some of them turned up
FLUID_SOUNDFONTS = (Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"), Path("/usr/share/soundfonts/FluidR3_GM.sf2"))


class AudioError(ValueError):
    """Sound that cannot be made; the message says what was expected, what came and what to do."""


@dataclass(frozen=True)
class Renderer:
    """What turns notes into sound: `program` is "midirenderer" or "fluidsynth"; `soundfont` a .sf2 file."""

    program: str
    soundfont: Path

    def __str__(self) -> str:
        return f"{self.program} with {self.soundfont.name}"


def package_renderer() -> Renderer:
    """midirenderer with TimGM6mb.sf2, read where pretty_midi installed it; AudioError if it is not there."""
    package = find_spec("pretty_midi")
    folder = Path(package.origin).parent if package and package.origin else Path()
    soundfont = folder / "TimGM6mb.sf2"
    if not soundfont.is_file():
        raise AudioError(f"expected pretty_midi's soundfont at {soundfont}; reinstall pretty_midi by pip")
    return Renderer("midirenderer", soundfont)


def best_renderer() -> Renderer:
    """FluidSynth where its program and FluidR3_GM.sf2 are both installed, else midirenderer."""
    if shutil.which("fluidsynth"):
        for soundfont in FLUID_SOUNDFONTS:
            if soundfont.is_file():
                return Renderer("fluidsynth", soundfont)
    return package_renderer()


def render(midi: bytes, renderer: Renderer | None = None, tags: Mapping[str, str] | None = None) -> bytes:
    """The sound of a MIDI file as a WAV file: 16 bit, stereo, 48 kHz, -16 LUFS, true peak at most -1 dBTP.

    The WAV begins when the MIDI begins and ends when the reverb has faded. `renderer`: default `best_renderer()`.
    `tags`: text for the WAV's header, among title, artist, comment, software and date. AudioError if the MIDI file or
    the soundfont is unusable, or if nothing sounds.
    """
    return encode_wav(mastering.master(performance(midi, renderer), SAMPLE_RATE), tags)


def performance(midi: bytes, renderer: Renderer | None = None) -> Samples:
    """The rendered sound before mastering, float32 [n, 2] at 48 kHz, tail kept, faded at both ends."""
    renderer = renderer or best_renderer()
    ready = _prepared(midi, renderer)
    samples = _midirenderer(ready, renderer) if renderer.program == "midirenderer" else _fluidsynth(ready, renderer)
    level = mastering.envelope(samples)
    loud = np.flatnonzero(level > max(level.max(initial=0.0) * SILENCE, 0.0))
    if not len(loud):
        raise AudioError("expected a MIDI file with notes that sound, but rendering it gave silence; check its notes")
    fade_in, fade_out = (int(seconds * SAMPLE_RATE) for seconds in FADE)
    samples = samples[: loud[-1] + fade_out].copy()
    fade_out = min(fade_out, len(samples))
    samples[:fade_in] *= np.linspace(0, 1, fade_in, dtype=np.float32)[: len(samples), None]
    samples[-fade_out:] *= np.linspace(1, 0, fade_out, dtype=np.float32)[:, None]
    return samples


def encode_wav(samples: Samples, tags: Mapping[str, str] | None = None) -> bytes:
    """A 16-bit WAV file of float samples [n, 2] in -1..1, with `tags` in its header."""
    return _encode(samples, "WAV", tags)


def encode_flac(samples: Samples, tags: Mapping[str, str] | None = None) -> bytes:
    """The same as FLAC: no sample differs, and half the size."""
    return _encode(samples, "FLAC", tags)


def _encode(samples: Samples, form: str, tags: Mapping[str, str] | None) -> bytes:
    import soundfile

    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", SAMPLE_RATE, samples.shape[1], "PCM_16", format=form) as file:
        for name, text in (tags or {}).items():
            setattr(file, name, text)
        file.write(pcm(samples))
    return out.getvalue()


def pcm(samples: Samples) -> npt.NDArray[np.int16]:
    """Float samples -1..1 as 16-bit integers, rounded and clipped; libsndfile's own conversion is five times slower."""
    scaled = samples * np.float32(32_768)
    return np.clip(np.rint(scaled, out=scaled), -32_768, 32_767, out=scaled).astype("<i2")


def _prepared(midi: bytes, renderer: Renderer) -> bytes:
    """The same MIDI file, ending `TAIL` seconds later, so that the renderer goes on; volumes set for its soundfont."""
    import mido

    if len(midi) > MAX_BYTES:
        raise AudioError(f"a MIDI file may have {MAX_BYTES:,} bytes, this one has {len(midi):,}; render a shorter one")
    try:
        file = mido.MidiFile(file=io.BytesIO(midi))
        seconds, tempo = 0.0, mido.bpm2tempo(120)
        for message in file:
            seconds += message.time
            tempo = message.tempo if message.type == "set_tempo" else tempo
    except Exception as error:  # mido raises a dozen kinds on broken files
        raise AudioError(f"expected a MIDI file, got something unreadable ({error!r}); export it again") from error
    if seconds > MAX_SECONDS:
        raise AudioError(
            f"a piece may last {MAX_SECONDS:g} seconds, this one lasts {seconds:.0f}; render a shorter one"
        )
    last = max((sum(message.time for message in track) for track in file.tracks), default=0)
    tail = int(mido.second2tick(TAIL, file.ticks_per_beat, tempo))
    file.tracks.append(mido.MidiTrack([mido.MetaMessage("end_of_track", time=last + tail)]))
    _balance(file, styles.louder(renderer.soundfont.stem))
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def _balance(file: mido.MidiFile, louder: Mapping[int | None, float]) -> None:
    """Turn the volumes (controller 7, whose decibels are 40 log10) of a file in place, so that parts are as loud
    against each other as with the soundfont that they were set for. `louder`: LU by program, None for drums. What is
    done to a part depends on nothing but the part, so that stems still add up."""
    if not louder:
        return
    messages = [message for track in file.tracks for message in track]
    programs = {message.channel: message.program for message in messages if message.type == "program_change"}
    for message in messages:
        if message.type == "control_change" and message.control == 7:
            program = None if message.channel == DRUM_CHANNEL else programs.get(message.channel, 0)
            turn = -louder.get(program, 0.0) - HEADROOM
            message.value = min(127, round(message.value * 10 ** (turn / 40)))


@lru_cache(maxsize=2)
def _soundfont(path: Path) -> bytes:
    return path.read_bytes()


def _midirenderer(midi: bytes, renderer: Renderer) -> Samples:
    import midirenderer

    try:
        wav = midirenderer.render_wave_from(_soundfont(renderer.soundfont), midi)
    except (OSError, RuntimeError) as error:
        raise AudioError(f"{renderer} could not render: {error}; check the soundfont and the MIDI file") from error
    return _decode_wav(wav, renderer)


def _fluidsynth(midi: bytes, renderer: Renderer) -> Samples:
    with tempfile.TemporaryDirectory(prefix="maeum-") as folder:
        score, sound = Path(folder, "piece.mid"), Path(folder, "piece.wav")
        score.write_bytes(midi)
        # As a command of its own: called as a function, midi2audio lets fluidsynth's greeting into our output.
        options = ["-s", str(renderer.soundfont), "-r", str(SAMPLE_RATE)]
        command = [sys.executable, "-m", "midi2audio", *options, str(score), str(sound)]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)  # noqa: S603
        # midi2audio ignores fluidsynth's exit code: what counts is the file.
        if not sound.is_file():
            raise AudioError(f"{renderer} wrote no sound; check with: fluidsynth {renderer.soundfont} FILE.mid")
        return _decode_wav(sound.read_bytes(), renderer)


def _decode_wav(wav: bytes, renderer: Renderer) -> Samples:
    import soundfile

    samples, rate = soundfile.read(io.BytesIO(wav), dtype="int16", always_2d=True)
    if rate != SAMPLE_RATE or samples.shape[1] != 2:
        raise AudioError(f"{renderer} gave {samples.shape[1]} channels at {rate} Hz, not 2 at {SAMPLE_RATE}; update it")
    return np.asarray(samples * np.float32(1 / 32_768))
