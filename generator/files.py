"""The files people take away: MIDI, MusicXML, WAV, MP3 and a zip of stems, with title, mood and seed inside."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from generator import audio, mastering, melody
from generator.harmony import Chord, spell, tonic_name
from generator.key import Key

if TYPE_CHECKING:
    import pretty_midi

ARTIST = "Maeum"
MP3_KBPS = 192
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same piece gives the same bytes


@dataclass(frozen=True)
class Title:
    """What a piece is called. mood: English name; tempo in quarter notes a minute; changes: how it differs from the
    piece as it was composed, like ("120 bpm", "flute")."""

    mood: str
    seed: int
    tempo: float
    key: Key
    changes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """For people: "Peaceful 7", "Peaceful 7 (120 bpm, flute)"."""
        return f"{self.mood.capitalize()} {self.seed}" + (f" ({', '.join(self.changes)})" if self.changes else "")

    @property
    def file(self) -> str:
        """For file names, without an ending: "maeum-peaceful-7", "maeum-peaceful-7-120-bpm-flute"."""
        return "-".join([f"maeum-{self.mood}-{self.seed}", *(each.replace(" ", "-") for each in self.changes)])

    @property
    def key_text(self) -> str:
        """Like "A minor", spelled as musicians do."""
        return f"{tonic_name(self.key)} {'major' if self.key.major else 'minor'}"

    @property
    def tags(self) -> dict[str, str]:
        """For a WAV's header."""
        comment = f"mood {self.mood}, seed {self.seed}, {self.tempo:.0f} bpm, {self.key_text}"
        return {"title": self.text, "artist": ARTIST, "comment": comment, "software": "Maeum"}


def midi_file(piece: pretty_midi.PrettyMIDI, title: Title) -> bytes:
    """A MIDI file of an arranged piece; its first track carries the title."""
    import mido

    out = io.BytesIO()
    piece.write(out)
    file = mido.MidiFile(file=io.BytesIO(out.getvalue()))
    file.tracks[0].insert(0, mido.MetaMessage("track_name", name=title.text))
    for name, text in (("copyright", ARTIST), ("text", title.tags["comment"])):
        file.tracks[0].insert(1, mido.MetaMessage(name, text=text))
    out = io.BytesIO()
    file.save(file=out)
    return out.getvalue()


def wav_file(samples: audio.Samples, title: Title) -> bytes:
    """A 16-bit WAV file of mastered samples [n, 2] with title and mood in its header."""
    return audio.encode_wav(samples, title.tags)


def flac_file(samples: audio.Samples, title: Title) -> bytes:
    """The same as a FLAC file, half as large."""
    return audio.encode_flac(samples, title.tags)


def mp3_file(samples: audio.Samples, title: Title) -> bytes:
    """An MP3 file of mastered samples [n, 2]: 192 kbit/s, with ID3 tags."""
    import lameenc

    encoder = lameenc.Encoder()
    encoder.set_bit_rate(MP3_KBPS)
    encoder.set_in_sample_rate(audio.SAMPLE_RATE)
    encoder.set_channels(2)
    encoder.set_quality(4)
    encoder.silence()
    return id3(title) + bytes(encoder.encode(audio.pcm(samples).tobytes())) + bytes(encoder.flush())


def id3(title: Title) -> bytes:
    """An ID3v2.4 tag: title, artist, genre (the mood), tempo, key, comment. mutagen would write it, but is GPL."""
    key = tonic_name(title.key) + ("" if title.key.major else "m")
    texts = {
        "TIT2": title.text,
        "TPE1": ARTIST,
        "TCON": title.mood,
        "TBPM": f"{title.tempo:.0f}",
        "TKEY": key,
        "TSSE": "Maeum, lameenc",
    }
    frames = b"".join(_id3_frame(name, b"\x03" + text.encode()) for name, text in texts.items())
    frames += _id3_frame("COMM", b"\x03eng\x00" + title.tags["comment"].encode())
    return b"ID3\x04\x00\x00" + _syncsafe(len(frames)) + frames


def _id3_frame(name: str, body: bytes) -> bytes:
    return name.encode() + _syncsafe(len(body)) + b"\x00\x00" + body


def _syncsafe(number: int) -> bytes:
    """Four bytes of seven bits each, as ID3v2.4 writes sizes."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def stems_file(piece: pretty_midi.PrettyMIDI, title: Title, renderer: audio.Renderer | None = None) -> bytes:
    """A zip with one WAV a part, all with the one gain that brings their sum to -16 LUFS, so that they add up to the
    mix (before its limiter). If a part alone would clip, all are turned down alike."""
    from copy import copy

    parts = {}
    for track in piece.instruments:
        alone = copy(piece)
        alone.instruments = [track]
        out = io.BytesIO()
        alone.write(out)
        if track.notes:
            parts[track.name] = audio.performance(out.getvalue(), renderer)
    if not parts:
        raise audio.AudioError("expected a piece with notes, but all its tracks are empty; check the melody")
    length = max(len(samples) for samples in parts.values())
    padded = {name: np.pad(samples, ((0, length - len(samples)), (0, 0))) for name, samples in parts.items()}
    gain = mastering.gain_for(np.sum(list(padded.values()), axis=0), audio.SAMPLE_RATE)
    peak = max(float(np.abs(samples).max()) for samples in padded.values())
    gain = min(gain, 10 ** ((mastering.CEILING - mastering.OVERSHOOT) / 20) / peak)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as file:
        for number, (name, samples) in enumerate(padded.items(), 1):
            entry = zipfile.ZipInfo(f"{title.file}/{number}-{name.lower()}.wav", _ZIP_TIME)
            file.writestr(entry, wav_file(samples * np.float32(gain), title))
    return out.getvalue()


def musicxml_file(tokens: npt.ArrayLike, chords: Sequence[Chord], title: Title, program: int = 0) -> bytes:
    """A lead sheet as MusicXML: the melody, tokens [256], in its key and tempo, with 16 or 32 chord symbols; `program`:
    the General MIDI instrument that notation programs play it on."""
    import pretty_midi
    from music21 import duration, harmony, instrument, key, metadata, meter, musicxml, note, pitch, stream, tempo

    score: Any = stream.Score()
    part: Any = stream.Part(id="Melody")  # type: ignore[no-untyped-call]
    player = instrument.Instrument()
    player.partName, player.partId = "Melody", "P1"
    # Without an instrument in its part list, MuseScore reports an error in the file.
    player.instrumentName, player.instrumentId = pretty_midi.program_to_instrument_name(program), "P1-I1"
    player.midiProgram, player.midiChannel = program, 0
    part.insert(0, player)
    score.metadata = metadata.Metadata(title=title.text, composer=ARTIST)
    notes = {start: (number, end) for number, start, end in melody.notes(tokens).tolist()}
    tonic = tonic_name(title.key).replace("b", "-")
    flow: Any = stream.Stream()
    flow.append(key.Key(tonic, "major" if title.key.major else "minor"))
    flow.append(meter.TimeSignature("4/4"))
    flow.insert(0, tempo.MetronomeMark(number=round(title.tempo)))
    step = 0
    while step < melody.STEPS:
        number, end = notes.get(step, (0, min((s for s in notes if s > step), default=melody.STEPS)))
        length = duration.Duration((end - step) / melody.STEPS_PER_QUARTER)
        if number:
            name = spell(number % 12, title.key)
            sounding: Any = note.Note(pitch.Pitch(name.replace("b", "-"), octave=_octave(number, name)))
        else:
            sounding = note.Rest()
        sounding.duration = length
        flow.insert(step / melody.STEPS_PER_QUARTER, sounding)
        step = end
    per_chord = melody.STEPS // len(chords)
    for position, symbol in enumerate(chords):
        if not position or symbol != chords[position - 1]:
            figure = symbol.name[0] + symbol.name[1:].replace("b", "-")
            flow.insert(position * per_chord / melody.STEPS_PER_QUARTER, harmony.ChordSymbol(figure))
    for measure in flow.makeMeasures():
        part.append(measure)
    score.insert(0, part)
    notated = score.makeNotation()
    xml = bytes(musicxml.m21ToXml.GeneralObjectExporter(notated).parse())
    return re.sub(rb"\s*<encoding-date>[^<]*</encoding-date>", b"", xml)  # the same piece gives the same bytes


def _octave(number: int, name: str) -> int:
    """The octave that a spelled MIDI pitch is written in: B# 4 sounds as C 5."""
    accidentals = name.count("#") - name.count("b")
    return (number - accidentals) // 12 - 1
