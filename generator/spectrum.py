"""The spectrogram's energy in time windows, for many melodies at once and without rendering them.

A melody sounds one note at a time, so the energy of its spectrogram is, to a close approximation, the sum of its
notes' own: each pitch is rendered once with the soundfont, held for four seconds and let go, and its energy in every
sixteenth (at 120 bpm) goes into a table. A loss inside a loop then costs a table look-up instead of .2 s of rendering.
`python -m generator.spectrum` measures the table anew.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from generator.key import sounding_pitch

TABLE = Path(__file__).parent.parent / "assets" / "note_energy.npz"
STEP_SECONDS = 0.125  # a sixteenth at 120 bpm
HELD = 32  # sixteenths each note is held while it is measured
RELEASE = 4  # sixteenths its end is followed
FIRST_PITCH, PITCHES = 21, 88


@lru_cache(maxsize=1)
def note_energy() -> npt.NDArray[np.float32]:
    """Energy a sixteenth of each pitch, [88, 36]: 32 sixteenths held, then 4 of release. Sample squares, summed."""
    with np.load(TABLE, allow_pickle=False) as data:
        table: npt.NDArray[np.float32] = data["energy"]
    if table.shape != (PITCHES, HELD + RELEASE):
        raise ValueError(f"{TABLE.name}: expected energy [{PITCHES}, {HELD + RELEASE}], found {list(table.shape)}")
    return table


def step_energy(tokens: npt.NDArray[np.integer], equal_loudness: bool = False) -> npt.NDArray[np.float32]:
    """Energy of the sounding melody at each sixteenth: tokens [N, 256] -> float32 [N, 256].

    equal_loudness divides each note by what its pitch gives when held to the end, so that a note counts the same in
    every register and the energy follows how many notes there are, not how high.
    """
    table = note_energy()
    if equal_loudness:
        table = table / table.sum(1, keepdims=True)
    release = table[:, HELD:] / np.maximum(table[:, HELD - 1 : HELD], 1e-12)
    count, steps = tokens.shape
    pitch = sounding_pitch(tokens)
    index = np.arange(steps)
    onset = np.maximum.accumulate(np.where(tokens >= 2, index, -1), axis=1)
    row = np.clip(pitch - FIRST_PITCH, 0, PITCHES - 1)
    age = np.clip(index - onset, 0, HELD - 1)
    energy = np.where(pitch > 0, table[row, age], 0.0)
    for delay in range(RELEASE):  # what rings on after a note that another note or a note off has ended
        ended = np.zeros((count, steps), bool)
        ended[:, 1:] = (tokens[:, 1:] >= 1) & (pitch[:, :-1] > 0)
        rows, at = np.nonzero(ended[:, : steps - delay])
        before = row[rows, at - 1], age[rows, at - 1]
        np.add.at(energy, (rows, at + delay), table[before] * release[before[0], delay])
    return energy.astype(np.float32)


def measure_table() -> npt.NDArray[np.float32]:
    """Render each pitch alone with the soundfont that the sound is made with: [88, 36] as in `note_energy`."""
    import io
    import wave
    from importlib.resources import files

    import midirenderer
    import pretty_midi

    soundfont = (files("pretty_midi") / "TimGM6mb.sf2").read_bytes()
    table = np.zeros((PITCHES, HELD + RELEASE), np.float32)
    for row in range(PITCHES):
        score = pretty_midi.PrettyMIDI(initial_tempo=120)
        piano = pretty_midi.Instrument(program=0)
        piano.notes.append(pretty_midi.Note(80, row + FIRST_PITCH, 0, HELD * STEP_SECONDS))
        # The renderer stops at the last note; one far away keeps it going through the release.
        piano.notes.append(pretty_midi.Note(1, FIRST_PITCH, (HELD + 12) * STEP_SECONDS, (HELD + 13) * STEP_SECONDS))
        score.instruments.append(piano)
        midi = io.BytesIO()
        score.write(midi)
        with wave.open(io.BytesIO(midirenderer.render_wave_from(soundfont, midi.getvalue()))) as sound:
            frames = sound.readframes(sound.getnframes())
            samples = np.frombuffer(frames, "<i2").reshape(-1, sound.getnchannels()).mean(1) / 32768
            hop = round(sound.getframerate() * STEP_SECONDS)
        needed = (HELD + RELEASE) * hop
        samples = np.pad(samples, (0, max(0, needed - len(samples))))
        table[row] = (samples[:needed].reshape(HELD + RELEASE, hop) ** 2).sum(1)
    return table


if __name__ == "__main__":
    np.savez_compressed(TABLE, energy=measure_table())
    print(f"wrote {TABLE.name}, {TABLE.stat().st_size} bytes")
