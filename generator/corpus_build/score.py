"""Melody windows from a score that music21 has read: ABC, MusicXML, Humdrum.

The line is the top part's, repeats written out, ornaments left out, of a chord the highest note. Bar lines are kept: a
window begins at a bar. Notes go to the nearest sixteenth; a window that loses more than a tenth of its notes by that is
dropped. Beside 4/4 and 2/2 there are ways into 4/4 for two other metres: `VARIANTS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from generator.melody import FIRST_NOTE, MAX_PITCH, MIN_PITCH, NOTE_OFF, PITCH_OFFSET, STEPS, STEPS_PER_BAR

if TYPE_CHECKING:
    from music21.stream import Opus, Part, Score

Windows = npt.NDArray[np.uint8]

VARIANTS = ("native 4/4 or 2/2", "two 2/4 bars joined", "a 2/4 bar stretched to 4/4", "a 4/2 bar split")
FEWEST_NOTES, FEWEST_PITCHES, MOST_LOST = 16, 4, 0.1
LONGEST_SILENCE = STEPS_PER_BAR
MOST_BARS = 2000
WHOLE = 4.0  # quarter notes in a bar of 4/4
CLOSE = 1e-3  # quarter notes


class ScoreError(ValueError):
    """A score without a melody of 16 bars; the message says what it lacks."""


@dataclass(frozen=True)
class Found:
    """Windows of one tune: tokens uint8 [N, 256], the bar each begins at, its variant (an index into `VARIANTS`)."""

    windows: Windows
    bar: npt.NDArray[np.int16]
    variant: npt.NDArray[np.uint8]
    bpm: float = 0.0
    key: str = ""


@dataclass
class Stretch:
    """Whole bars of one metre. bar: their length in quarter notes; first: the number of the first; notes: (onset and
    end in quarter notes from the first bar line, MIDI pitch)."""

    bar: float
    first: int
    bars: int = 0
    notes: list[tuple[float, float, int]] = field(default_factory=list)


def score_windows(score: Score | Part | Opus) -> Found:
    """All windows of the top part. Raises ScoreError where there is none."""
    windows, bars, variants = [], [], []
    part = _top_part(score)
    stretches = list(_stretches(part))
    for stretch in stretches:
        for variant, bar, scale in _ways(stretch.bar):
            tokens, lost = _grid(stretch, scale)
            for place in range(0, len(tokens) - STEPS + 1, STEPS_PER_BAR):
                window = clean(tokens[place : place + STEPS])
                here = lost[place : place + STEPS].sum()
                if here <= MOST_LOST * ((window >= FIRST_NOTE).sum() + here) and is_tune(window):
                    windows.append(window)
                    bars.append(stretch.first + round(place / 4 / scale / bar))
                    variants.append(variant)
    if not windows:
        longest = max((stretch.bars * stretch.bar / WHOLE for stretch in stretches), default=0.0)
        metres = sorted({sign.ratioString for sign in part.recurse().getElementsByClass("TimeSignature")})
        found = f"it is in {', '.join(metres) or 'no metre'}"
        if longest:
            found = f"its longest stretch has {longest:g} bars of four quarters"
        raise ScoreError(
            f"expected {STEPS // STEPS_PER_BAR} bars of 4/4, 2/2, 2/4 or 4/2 with {FEWEST_NOTES} notes and no bar of "
            f"silence; {found}"
        )
    _, kept = np.unique(np.stack(windows), axis=0, return_index=True)
    kept.sort()
    return Found(
        np.stack(windows)[kept], np.array(bars, np.int16)[kept], np.array(variants, np.uint8)[kept], *_facts(score)
    )


def clean(tokens: npt.NDArray[np.integer]) -> Windows:
    """A window cut out of a melody: what stands before its first note is silence."""
    window = tokens.astype(np.uint8)
    onsets = np.flatnonzero(window >= FIRST_NOTE)
    window[: onsets[0] if len(onsets) else len(window)] = 0
    return window


def is_tune(window: Windows) -> bool:
    """Whether a window has notes and pitches enough, and no silence longer than a bar."""
    onsets = window[window >= FIRST_NOTE]
    if len(onsets) < FEWEST_NOTES or len(np.unique(onsets)) < FEWEST_PITCHES:
        return False
    events = np.flatnonzero(window)
    ends = np.append(events[1:], STEPS)
    silent = window[events] == NOTE_OFF
    longest = max((ends - events)[silent], default=0)
    return max(int(events[0]), int(longest)) <= LONGEST_SILENCE


def _ways(bar: float) -> list[tuple[int, float, float]]:
    """How a bar of so many quarters gets into 4/4: (variant, its length in quarters, factor of all times)."""
    ways = {4.0: [(0, 4.0, 1.0)], 2.0: [(1, 2.0, 1.0), (2, 2.0, 2.0)], 8.0: [(3, 8.0, 1.0)]}
    return ways.get(bar, [])


def _top_part(score: Any) -> Any:
    parts = list(score.parts) if hasattr(score, "parts") else []
    part = parts[0] if parts else score
    _begin_repeats(part)
    try:
        part = part.expandRepeats()
    except Exception:
        return part  # as it stands: every bar once
    return part


def _begin_repeats(part: Any) -> None:
    """Write the sign where a repeat begins that only has an end: after the end of the repeat before.

    That is how such scores are played; music21 would go back to the beginning of the piece.
    """
    from music21.bar import Repeat

    endings = {id(measure) for bracket in part.getElementsByClass("RepeatBracket") for measure in bracket}
    begin = None  # where the next repeat begins if nothing says otherwise
    after = False
    for measure in part.getElementsByClass("Measure"):
        if after and id(measure) not in endings:
            begin, after = measure, False
        if isinstance(measure.leftBarline, Repeat) and measure.leftBarline.direction == "start":
            begin = None
        if isinstance(measure.rightBarline, Repeat) and measure.rightBarline.direction == "end":
            if begin is not None and id(measure) not in endings:
                begin.leftBarline = Repeat(direction="start")
            begin, after = None, True


def _stretches(part: Any) -> Iterator[Stretch]:
    """Runs of whole bars of one metre. An upbeat in front is left out; two parts of a bar at a repeat sign are one."""
    current: Stretch | None = None
    pending = 0.0  # quarters of a bar that is not full yet
    bar = 0.0
    for number, measure in enumerate(part.getElementsByClass("Measure")):
        if number > MOST_BARS:
            break
        if measure.timeSignature is not None:
            signature = measure.timeSignature
            length = float(signature.barDuration.quarterLength)
            known = signature.denominator in (2, 4) and bool(_ways(length))
            length = length if known else 0.0
            if length != bar and current is not None:
                yield current
                current, pending = None, 0.0
            bar = length
        if not bar:
            continue
        long = min(float(measure.duration.quarterLength), bar)
        if current is None:
            if long < bar - CLOSE:
                continue
            current, begin = Stretch(bar, number, 1), 0.0
        elif pending:
            begin = (current.bars - 1) * bar + pending
            pending = pending + long if pending + long < bar - CLOSE else 0.0
            if begin + long > current.bars * bar + CLOSE:  # more than the bar has room for: what follows is another
                yield current
                current = Stretch(bar, number, 1)
                begin, pending = 0.0, 0.0
        else:
            begin = current.bars * bar
            current.bars += 1
            pending = long if long < bar - CLOSE else 0.0
        current.notes += [(begin + onset, begin + end, pitch) for onset, end, pitch in _notes(measure)]
    if current is not None:
        yield current


def _notes(measure: Any) -> Iterator[tuple[float, float, int]]:
    """Onset and end in quarters within a measure, and the highest pitch, of each note that is no ornament. A tied
    note's later parts come with pitch 0: they lengthen the note before."""
    voices = list(measure.voices)
    for element in (voices[0] if voices else measure).notes:
        if element.duration.isGrace or not element.pitches:
            continue
        top = element.sortAscending()[-1] if element.isChord else element
        onset, length = float(element.offset), float(element.duration.quarterLength)
        tied = top.tie is not None and top.tie.type in ("continue", "stop")
        yield onset, onset + length, 0 if tied else int(top.pitch.midi)


def _grid(stretch: Stretch, scale: float) -> tuple[Windows, npt.NDArray[np.int64]]:
    """Tokens of a stretch, and how many notes were lost at each step because another stands there."""
    steps = round(stretch.bars * stretch.bar * scale * 4)
    steps -= steps % STEPS_PER_BAR
    tokens, lost = np.zeros(steps + 1, np.uint8), np.zeros(steps, np.int64)
    held: list[list[int]] = []  # onset, end, pitch
    for onset, end, pitch in stretch.notes:
        begin, stop = (int(np.floor(time * scale * 4 + 0.5)) for time in (onset, end))
        if not pitch:
            if held and begin <= held[-1][1] + 1:
                held[-1][1] = max(held[-1][1], stop)
        elif begin < steps:
            if (held and begin <= held[-1][0]) or not MIN_PITCH <= pitch <= MAX_PITCH:
                lost[begin] += 1
            else:
                held.append([begin, max(stop, begin + 1), pitch])
    following = [*(onset for onset, _, _ in held[1:]), steps]
    for (begin, stop, pitch), after in zip(held, following, strict=True):
        tokens[begin] = pitch - PITCH_OFFSET
        if stop < after:
            tokens[stop] = NOTE_OFF
    return tokens[:steps], lost


def _facts(score: Any) -> tuple[float, str]:
    """Quarter notes a minute, 0 where nothing is said; and the key signature or key."""
    flat = score.flatten()
    marks = [mark.getQuarterBPM() for mark in flat.getElementsByClass("MetronomeMark")]
    keys = list(flat.getElementsByClass("KeySignature"))
    return float(next((mark for mark in marks if mark), 0.0)), str(keys[0]) if keys else ""
