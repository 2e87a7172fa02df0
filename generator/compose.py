"""From a mood to a piece: the whole path as one function.

    piece = compose(Request.for_moods({"peaceful": 0.7, "clear": 0.3}, seed=7))
    piece.midi, piece.wav, piece.reached

Latents are drawn from the learned prior, re-trained towards the mood's targets, decoded, harmonised, arranged and
rendered. The same request gives the same piece on the same machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

import emotion
from generator import starts
from generator.actor_critic import Effort, OnRound, OnStep, Retrained, Round, Tokens, retrain
from generator.arrange import Parts
from generator.export import Export
from generator.losses import Melodies, Targets
from generator.melody import FEWEST_NOTES, FIRST_NOTE, MelodyError, check_tokens
from generator.models import Models, default_models
from generator.train_actor import Ranges

__all__ = [
    "Change",
    "Measures",
    "Piece",
    "Request",
    "Round",
    "Targets",
    "again",
    "compose",
    "compose_batch",
    "measure",
]

CANDIDATES = 32  # latents a request starts from; the best by exact measures is kept
SEED_LIMIT = 2**31
ROUNDS_LIMIT, TEMPERATURE_LIMIT = 100, 2.0
KEEP = 0.5


@dataclass(frozen=True, eq=False)
class Request:
    """One piece that is wanted.

    mood: whose style it is played in. rounds: of re-training, at most. melody: uint8 [256], where to start instead of
    at draws from the prior, and keep (0..1) how much of its contour stays. temperature: of the decoder, 0 for the
    likeliest notes; the seed decides what is drawn.
    """

    targets: Targets
    seed: int
    mood: str
    rounds: int = Effort.rounds
    parts: Parts = "full"
    melody: Tokens | None = None
    keep: float = KEEP
    temperature: float = 0.0

    def __post_init__(self) -> None:
        emotion.category(self.mood)
        if not 0 <= self.seed < SEED_LIMIT:
            raise ValueError(f"a seed is a whole number from 0 to {SEED_LIMIT - 1}, not {self.seed}")
        for what, low, high, value in (
            ("rounds of re-training go", 1, ROUNDS_LIMIT, self.rounds),
            ("the share to keep of a melody goes", 0, 1, self.keep),
            ("the temperature goes", 0, TEMPERATURE_LIMIT, self.temperature),
        ):
            if not low <= value <= high:
                raise ValueError(f"{what} from {low} to {high:g}, not {value}")
        if self.melody is not None:
            melody = check_tokens(self.melody)
            if np.count_nonzero(melody >= FIRST_NOTE) < FEWEST_NOTES:
                raise MelodyError(f"a melody to start from needs at least {FEWEST_NOTES} notes. Choose another")
            object.__setattr__(self, "melody", melody)

    @classmethod
    def for_moods(
        cls,
        weights: Mapping[str, float],
        seed: int,
        parts: Parts = "full",
        rounds: int = Effort.rounds,
        melody: Tokens | None = None,
        keep: float = KEEP,
        temperature: float = 0.0,
    ) -> Request:
        """A request for a mixture of moods, by English or Korean name; weights are scaled to sum to 1.

        Targets are the weighted means of the moods' reference values, major where the mean chance of major is at least
        a half; the style is the strongest mood's. The rest is as in `Request`.
        """
        total = sum(weights.values())
        if not weights or total <= 0 or min(weights.values()) < 0:
            raise ValueError(f"expected at least one mood with a weight over 0 and none below, got {dict(weights)}")
        moods = [(emotion.category(name), weight / total) for name, weight in weights.items()]
        density, pitch, p_major, tempo = (
            sum(weight * getattr(mood, field) for mood, weight in moods)
            for field in ("density", "pitch", "p_major", "tempo")
        )
        strongest = max(moods, key=lambda each: each[1])[0].name
        targets = Targets(density, pitch, p_major >= 0.5, tempo)
        return cls(targets, seed, strongest, rounds, parts, melody, keep, temperature)


@dataclass(frozen=True)
class Measures:
    """What a melody turned out to be: note onsets a bar, mean pitch (MIDI, by duration), mode of its key, share of
    sounding time on chord tones."""

    density: float
    pitch: float
    major: bool
    chord_tones: float


@dataclass(frozen=True)
class Piece:
    """The result. tokens: the melody, uint8 [256]; before: the first draw, before any was chosen or moved, in the key
    that fits its register; chords: two names a bar; midi, wav: the played piece as files; export: makes the other
    files, when asked."""

    request: Request
    name: str
    tokens: Tokens
    before: Tokens
    chords: list[str]
    key: str
    tempo: float
    targets: Targets
    reached: Measures
    trace: list[Round]
    midi: bytes
    wav: bytes
    export: Export


def compose(
    request: Request,
    on_round: OnRound | None = None,
    models: Models | None = None,
    on_step: OnStep | None = None,
) -> Piece:
    """Compose one piece; `on_round` sees each round of re-training as it ends, in the caller's thread, and `on_step`
    each gradient step on the way.

    Where `on_round` returns True, re-training stops and the best so far becomes the piece. Raises CheckpointError where
    the weights cannot be used, AudioError where the sound cannot be made.
    """
    found = find(request, on_round, models or default_models(), on_step)
    targets = request.targets
    export = Export(
        found.tokens, request.mood, request.seed, targets.tempo, targets.major, targets.density, request.parts
    )
    return Piece(
        request=request,
        name=export.title.file,
        tokens=found.tokens,
        before=found.first,
        chords=[chord.name for chord in export.chords],
        key=export.title.key_text,
        tempo=targets.tempo,
        targets=targets,
        reached=measure(found.tokens),
        trace=found.trace,
        midi=export.midi,
        wav=export.file("wav"),
        export=export,
    )


def find(request: Request, on_round: OnRound | None, models: Models, on_step: OnStep | None = None) -> Retrained:
    """The melody of a request, without chords, arrangement and sound."""
    effort = Effort(rounds=request.rounds)
    decode = partial(models.decode, temperature=request.temperature, seed=request.seed)
    if request.melody is None:
        begin = models.starts(CANDIDATES, request.seed, request.targets.rows(CANDIDATES))
        share = starts.planned_shares(models, CANDIDATES)
        return retrain(models.networks, decode, begin, request.targets, effort, on_round, (), share, on_step)
    keep = request.keep
    begin = starts.from_melody(models, request.melody, request.targets, keep, CANDIDATES, request.seed)
    contour = starts.ContourLoss(request.melody), starts.CONTOUR_WEIGHT * keep**2
    share = starts.shares(keep, CANDIDATES).to(begin)
    return retrain(models.networks, decode, begin, request.targets, effort, on_round, [contour], share, on_step)


Change = Literal["calmer", "brighter", "denser", "sparser"]


@dataclass(frozen=True)
class Step:
    """From a piece to the next: factors of density and tempo, semitones of mean pitch, and whether it becomes major."""

    density: float = 1.0
    pitch: float = 0.0
    tempo: float = 1.0
    major: bool = False


# Steps that are heard: a fifth or more of the notes, a sixth of the tempo, whole tones of register.
CHANGES: dict[str, Step] = {
    "calmer": Step(density=0.8, pitch=-2.0, tempo=0.85),
    "brighter": Step(pitch=4.0, major=True),
    "denser": Step(density=1.3),
    "sparser": Step(density=1 / 1.3),
}
AGAIN_KEEP = 0.75
RANGES, TEMPI = Ranges(), (60.0, 180.0)


def again(piece_targets: Targets, mood: str, change: Change, melody: Tokens, seed: int) -> Request:
    """The same piece once more, but calmer, brighter, denser or sparser: a request that starts from its melody.

    What changes is in `CHANGES`. Targets stay within what the actor was trained for, or where they are if they lie
    outside it already. Raises ValueError for another change.
    """
    if change not in CHANGES:
        raise ValueError(f"a piece can be made again as {', '.join(CHANGES)}; not {change!r}")
    step = CHANGES[change]
    targets = Targets(
        _within(piece_targets.density, piece_targets.density * step.density, RANGES.density),
        _within(piece_targets.pitch, piece_targets.pitch + step.pitch, RANGES.pitch),
        step.major or piece_targets.major,
        _within(piece_targets.tempo, piece_targets.tempo * step.tempo, TEMPI),
    )
    return Request(targets, seed, mood, melody=melody, keep=AGAIN_KEEP)


def _within(now: float, wanted: float, limits: tuple[float, float]) -> float:
    """The wanted value within limits; where it is now counts as within."""
    low, high = limits
    return min(max(wanted, min(low, now)), max(high, now))


def compose_batch(requests: Sequence[Request]) -> list[Piece]:
    """Compose several pieces, in their order."""
    models = default_models()
    return [compose(request, models=models) for request in requests]


def measure(tokens: Tokens) -> Measures:
    """The measures of one melody, tokens [256]."""
    melodies = Melodies(tokens[None])
    return Measures(
        density=float(melodies.density[0]),
        pitch=float(melodies.pitch[0]),
        major=bool(melodies.mode[0] > 0),
        chord_tones=float(melodies.chord_tones[0]),
    )
