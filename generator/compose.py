"""From a mood to a piece: the whole path as one function.

    piece = compose(Request.for_moods({"peaceful": 0.7, "clear": 0.3}, seed=7))
    piece.midi, piece.wav, piece.reached

Latents are drawn from the learned prior, re-trained towards the mood's targets, decoded, harmonised, arranged and
rendered. The same request gives the same piece on the same machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import emotion
from generator.actor_critic import Effort, Round, Tokens, retrain
from generator.arrange import Parts
from generator.export import Export
from generator.losses import Melodies, Targets
from generator.models import Models, default_models

__all__ = ["Measures", "Piece", "Request", "Round", "Targets", "compose", "compose_batch", "measure"]

CANDIDATES = 32  # latents a request starts from; the best by exact measures is kept
SEED_LIMIT = 2**31


@dataclass(frozen=True)
class Request:
    """One piece that is wanted. mood: whose style it is played in; rounds: of re-training, at most."""

    targets: Targets
    seed: int
    mood: str
    rounds: int = Effort.rounds
    parts: Parts = "full"

    def __post_init__(self) -> None:
        emotion.category(self.mood)
        if not 0 <= self.seed < SEED_LIMIT:
            raise ValueError(f"a seed is a whole number from 0 to {SEED_LIMIT - 1}, not {self.seed}")
        if not 1 <= self.rounds <= 100:
            raise ValueError(f"rounds of re-training go from 1 to 100, not {self.rounds}")

    @classmethod
    def for_moods(cls, weights: Mapping[str, float], seed: int, parts: Parts = "full") -> Request:
        """A request for a mixture of moods, by English or Korean name; weights are scaled to sum to 1.

        Targets are the weighted means of the moods' reference values, major where the mean chance of major is at least
        a half; the style is the strongest mood's.
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
        return cls(Targets(density, pitch, p_major >= 0.5, tempo), seed, strongest, parts=parts)


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
    """The result. tokens: the melody, uint8 [256]; chords: one name a bar; midi, wav: the played piece as files;
    export: makes the other files, when asked."""

    name: str
    tokens: Tokens
    chords: list[str]
    key: str
    tempo: float
    targets: Targets
    reached: Measures
    trace: list[Round]
    midi: bytes
    wav: bytes
    export: Export


def compose(request: Request, on_round: Callable[[Round], None] | None = None, models: Models | None = None) -> Piece:
    """Compose one piece; `on_round` sees each round of re-training as it ends, in the caller's thread.

    Raises CheckpointError where the weights cannot be used, AudioError where the sound cannot be made.
    """
    models = models or default_models()
    starts = models.starts(CANDIDATES, request.seed)
    effort = Effort(rounds=request.rounds)
    found = retrain(models.networks, models.decode, starts, request.targets, effort, on_round)
    targets = request.targets
    export = Export(
        found.tokens, request.mood, request.seed, targets.tempo, targets.major, targets.density, request.parts
    )
    return Piece(
        name=export.title.file,
        tokens=found.tokens,
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
