"""Where a request starts: at a melody of which some is to stay, or at a piece that should become another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from generator.actor_critic import Round
from generator.compose import Change, Piece, Request, again, compose, find, measure
from generator.key import find_key, transpose
from generator.losses import Melodies, Targets
from generator.melody import MelodyError, Tokens
from generator.models import Models, default_models
from generator.starts import contour_kept, from_melody, in_mode, toward
from tests.tunes import random_tune

TARGETS = Targets(5.0, 70.0, True)
PIECE = Targets(5.0, 68.0, False, 120.0)


@pytest.fixture(scope="module")
def models() -> Models:
    torch.set_num_threads(1)
    return default_models()


def from_tune(tune: Tokens, keep: float, seed: int = 0, rounds: int = 2) -> Request:
    return Request(TARGETS, seed, "clear", rounds=rounds, melody=tune, keep=keep)


def test_contour_is_the_same_in_any_key_and_octave_and_upside_down_its_opposite() -> None:
    tune = random_tune(1)
    upside_down = np.where(tune >= 2, 90 - np.minimum(tune, 88), tune).astype(np.uint8)
    kept = contour_kept(np.stack([tune, transpose(tune, 5), transpose(tune, -12), upside_down]), tune)
    assert kept == pytest.approx([1, 1, 1, -1], abs=1e-6)
    others = contour_kept(np.stack([random_tune(seed) for seed in range(2, 42)]), tune)
    assert abs(others.mean()) < 0.2


def test_a_melody_on_one_note_has_no_contour() -> None:
    flat = np.zeros(256, np.uint8)
    flat[::8] = 41
    assert contour_kept(np.stack([flat, random_tune(1)]), flat).tolist() == [0, 0]


def test_the_more_is_kept_the_more_of_the_contour_stays(models: Models) -> None:
    tunes = [models.decode(models.starts(1, 90 + seed))[0] for seed in range(3)]
    kept = []
    for keep in (0.0, 0.5, 1.0):
        found = [find(from_tune(tune, keep, seed, rounds=1), None, models).tokens for seed, tune in enumerate(tunes)]
        kept.append(np.mean([contour_kept(each[None], tune) for each, tune in zip(found, tunes, strict=True)]))
    assert kept[0] < 0.3 < kept[2]
    assert kept[0] + 0.1 < kept[1] < kept[2]


def test_a_start_that_keeps_all_is_the_melody_itself(models: Models) -> None:
    tune = transpose(models.decode(models.starts(1, 5))[0], 4)
    targets = Targets(5.0, 68.0, find_key(tune).major)
    assert contour_kept(models.decode(from_melody(models, tune, targets, 1.0, 1, 0)), tune)[0] > 0.95
    nothing = from_melody(models, tune, targets, 0.0, 3, 7)
    assert torch.allclose(nothing, models.starts(3, 7, targets.rows(3)), atol=1e-4)


@pytest.mark.parametrize("seed", range(4))
def test_a_melody_changes_its_mode_and_keeps_its_contour(seed: int) -> None:
    tune = random_tune(seed)
    key = find_key(tune)
    other = in_mode(tune, not key.major)
    assert find_key(other).major != key.major
    assert find_key(other).tonic == key.tonic
    assert np.abs(other.astype(int) - tune).max() == 1
    assert contour_kept(other[None], tune)[0] > 0.98
    assert np.array_equal(in_mode(tune, key.major), tune)


def test_the_way_between_latents_stays_as_far_from_the_origin() -> None:
    start, end = torch.nn.functional.normalize(torch.randn(2, 5, 64, generator=torch.Generator().manual_seed(1)), dim=2)
    for share in (0.0, 0.3, 1.0):
        assert toward(start, end, torch.full((5,), share)).norm(dim=1).tolist() == pytest.approx([1.0] * 5, abs=1e-4)
    assert torch.allclose(toward(start, start, torch.full((5,), 0.5)), start, atol=1e-3)


def test_a_stop_at_the_first_round_gives_a_piece(models: Models) -> None:
    seen: list[Round] = []

    def stop(each: Round) -> bool:
        seen.append(each)
        return True

    piece = compose(Request(TARGETS, 3, "clear"), stop, models)
    assert len(seen) == len(piece.trace) == 1
    assert np.array_equal(seen[0].tokens, piece.tokens)
    assert piece.midi
    assert piece.wav


def test_a_piece_tells_its_request_and_what_it_was_before(models: Models) -> None:
    request = Request(Targets(7.5, 74, True), 3, "clear", rounds=3)
    piece = compose(request, None, models)
    assert piece.request is request
    assert not np.array_equal(piece.before, piece.tokens)
    off = [abs(measure(each).density - 7.5) for each in (piece.before, piece.tokens)]
    assert off[1] < off[0]
    assert piece.trace[-1].total <= piece.trace[0].total


def test_a_temperature_gives_other_notes_and_the_same_ones_again(models: Models) -> None:
    request = Request(TARGETS, 3, "clear", rounds=1)
    warm = replace(request, temperature=1.0)
    found = [find(each, None, models).tokens for each in (request, warm, warm)]
    assert not np.array_equal(found[0], found[1])
    assert np.array_equal(found[1], found[2])


@pytest.mark.parametrize(
    ("change", "density", "pitch", "tempo", "major"),
    [
        ("calmer", -1, -1, -1, False),
        ("brighter", 0, 1, 0, True),
        ("denser", 1, 0, 0, False),
        ("sparser", -1, 0, 0, False),
    ],
)
def test_a_piece_can_be_asked_for_again(change: Change, density: int, pitch: int, tempo: int, major: bool) -> None:
    tune = random_tune(1)
    request = again(PIECE, "dark", change, tune, 4)
    assert (request.mood, request.seed) == ("dark", 4)
    assert request.melody is not None
    assert np.array_equal(request.melody, tune)
    assert 0.5 < request.keep < 1
    targets = request.targets
    assert np.sign(targets.density - PIECE.density) == density
    assert np.sign(targets.pitch - PIECE.pitch) == pitch
    assert np.sign(targets.tempo - PIECE.tempo) == tempo
    assert targets.major == major


@pytest.mark.parametrize("change", ["calmer", "brighter", "denser", "sparser"])
def test_asking_again_and_again_ends_at_the_limits(change: Change) -> None:
    targets = PIECE
    for _ in range(20):
        targets = again(targets, "dark", change, random_tune(1), 0).targets
    assert 2 <= targets.density <= 9
    assert 58 <= targets.pitch <= 80
    assert 60 <= targets.tempo <= 180
    outside = Targets(11, 85, True, 200)
    further = again(outside, "dark", change, random_tune(1), 0).targets
    assert further.density <= 11
    assert further.pitch <= 85


def test_a_denser_piece_is_denser_and_still_the_same_tune(models: Models) -> None:
    piece: Piece = compose(Request(Targets(4.5, 68, False), 3, "dark"), None, models)
    denser = find(again(piece.targets, "dark", "denser", piece.tokens, 3), None, models)
    assert Melodies(denser.tokens[None]).density[0] > piece.reached.density + 0.8
    assert contour_kept(denser.tokens[None], piece.tokens)[0] > 0.4


def test_what_cannot_be_asked_for_is_refused() -> None:
    with pytest.raises(ValueError, match="calmer, brighter, denser, sparser; not 'louder'"):
        again(PIECE, "dark", "louder", random_tune(1), 0)  # type: ignore[arg-type]
    with pytest.raises(MelodyError, match="at least 2 notes"):
        from_tune(np.zeros(256, np.uint8), 0.5)
    with pytest.raises(MelodyError, match="256 whole numbers"):
        from_tune(np.zeros(10, np.uint8), 0.5)
    with pytest.raises(ValueError, match=r"the share to keep of a melody goes from 0 to 1, not 1\.5"):
        from_tune(random_tune(1), 1.5)
    with pytest.raises(ValueError, match="the temperature goes from 0 to 2, not -1"):
        Request(TARGETS, 0, "clear", temperature=-1)
    with pytest.raises(ValueError, match="rounds of re-training go from 1 to 100, not 0"):
        Request(TARGETS, 0, "clear", rounds=0)
