"""The comparison measures what it says, and its rivals are given a fair chance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from generator.__main__ import main
from generator.actor_critic import fit_register, judge
from generator.evaluation.copying import longest_shared_runs
from generator.evaluation.figures import Figures
from generator.evaluation.measures import Space, features, frechet, interval, nearest_real, pairwise_distance
from generator.evaluation.moods import tell_apart
from generator.evaluation.report import write
from generator.evaluation.rivals import FULL, LESS, METHODS, Attributes, Setting, evolution, one_sample, search
from generator.evaluation.run import ABLATED, JOINT, MOODS, SAME, SAME_TARGETS, Outcome, Plan
from generator.key import transpose
from generator.losses import Melodies, Targets
from generator.melody import Tokens
from generator.models import default_models
from generator.musicvae.corpus import Corpus
from tests.tunes import random_tune

TARGETS = Targets(7.0, 72.0, True)


def tunes(first: int, count: int) -> Tokens:
    return np.stack([random_tune(seed) for seed in range(first, first + count)])


def evenly(windows: Tokens) -> Corpus:
    return Corpus(windows, np.full(len(windows), 1 / len(windows)))


@pytest.fixture(scope="module")
def setting() -> Setting:
    torch.set_num_threads(1)
    models = default_models()
    return Setting(models, Attributes.of(models, models.decode(models.starts(128, 9))))


def test_a_planted_copy_is_found_with_its_length_in_any_key() -> None:
    training, query = tunes(0, 60), random_tune(500)
    assert longest_shared_runs(query[None], training)[0] < 12
    source = training[17]
    onsets = np.flatnonzero(source >= 2)
    first, last = onsets[3], onsets[23]  # 21 notes, 20 intervals
    planted = query.copy()
    planted[: last - first + 1] = transpose(source, 3)[first : last + 1]
    planted[last - first + 1] = 89  # a leap that the source does not have
    assert longest_shared_runs(planted[None], training).tolist() == [20]
    assert longest_shared_runs(planted[None], training, rhythm=True).tolist() == [20]
    assert longest_shared_runs(source[None], training)[0] == len(onsets) - 1


def test_a_copy_in_other_durations_is_a_copy_of_intervals_only() -> None:
    training = tunes(0, 20)
    notes = training[4][training[4] >= 2][:40]
    even = np.zeros(256, np.uint8)
    even[: 6 * len(notes) : 6] = notes
    runs = [longest_shared_runs(even[None], training, rhythm)[0] for rhythm in (False, True)]
    assert runs[0] >= len(notes) - 1
    assert runs[1] < 6


def test_runs_are_those_of_a_search_by_hand() -> None:
    training, queries = tunes(0, 6), tunes(40, 4)

    def runs(melody: Tokens, length: int) -> set[tuple[int, ...]]:
        steps = np.diff(melody[melody >= 2].astype(int)).tolist()
        return {tuple(steps[i : i + length]) for i in range(len(steps) - length + 1)}

    for query, found in zip(queries, longest_shared_runs(queries, training), strict=True):
        shared = [n for n in range(1, 60) if any(runs(query, n) & runs(tune, n) for tune in training)]
        assert found == max(shared)


def test_silence_copies_nothing() -> None:
    assert longest_shared_runs(np.zeros((2, 256), np.uint8), tunes(0, 3)).tolist() == [0, 0]


def test_frechet_is_nothing_for_the_same_and_grows_with_the_distance() -> None:
    points = np.random.default_rng(0).normal(size=(400, 5))
    points -= points.mean(0)
    assert frechet(points, points) == pytest.approx(0, abs=1e-9)
    assert frechet(points, points + 2) == pytest.approx(20)  # 5 features, 2 squared each
    near, far = frechet(points, points + 0.5), frechet(points, points * 3 + 0.5)
    assert 0 < near < far
    assert frechet(points, points * 3) == pytest.approx(4 * points.var(0, ddof=1).sum(), rel=1e-6)


def test_features_do_not_change_with_the_key() -> None:
    melodies = tunes(0, 10)
    for name, values in features(transpose(melodies, 2)).items():
        assert np.allclose(values, features(melodies)[name], atol=1e-6), name


def test_shuffled_bars_are_further_from_real_tunes_than_other_real_tunes() -> None:
    rng = np.random.default_rng(0)
    phrases = tunes(0, 300)[:, :64]
    real = np.tile(phrases, 4)
    space = Space.of(real)
    mixed = rng.permutation(real[150:].reshape(-1, 16)).reshape(150, 256)
    first = space.place(real[:150])
    assert frechet(space.place(real[150:]), first) < frechet(space.place(mixed), first) / 3


def test_distance_is_nothing_for_transpositions_and_large_for_other_tunes() -> None:
    tune = random_tune(3)
    assert pairwise_distance(np.stack([tune, transpose(tune, 3), transpose(tune, -12)])).max() < 0.02
    assert pairwise_distance(tunes(0, 8)).min() > 0.5


def test_matched_tunes_have_the_targets_mode_and_density() -> None:
    real = evenly(tunes(0, 200))
    density, major = np.array([4.0, 4.5, 5.0]), np.array([True, False, True])
    chosen = Melodies(real.windows[nearest_real(real, density, major)])
    assert np.abs(chosen.density - density).max() <= 0.5
    assert ((chosen.mode > 0) == major).all()
    near = nearest_real(real, np.full(50, 4.5), np.full(50, True))
    heavy = Corpus(real.windows, np.where(np.arange(200) == near[0], 1.0, 1e-6))
    assert set(nearest_real(heavy, density[1:2], np.array([True]), seed=5)) == {near[0]}


def test_an_interval_holds_the_figure_and_narrows_with_more_targets() -> None:
    values = np.random.default_rng(0).normal(3, 1, 800)
    wide, narrow = (interval(lambda i: float(values[i].mean()), count) for count in (50, 800))
    for value, low, high in (wide, narrow):
        assert low < value < high
    assert narrow[2] - narrow[1] < (wide[2] - wide[1]) / 2
    assert narrow[1] < 3 < narrow[2]


def test_moods_that_differ_are_told_apart_and_moods_that_do_not_are_not() -> None:
    many = tunes(0, 360)
    sparse_to_dense = Melodies(many).density.argsort()
    melodies = many[np.concatenate([sparse_to_dense[start : start + 40] for start in (0, 160, 320)])]
    space, first = Space.of(many), np.arange(120) % 2 == 0
    differing = tell_apart(melodies, np.repeat([0, 1, 2], 40), first, space)
    assert differing.right.mean() > 0.85
    assert differing.pairs[0, 2] > 0.95
    arbitrary = tell_apart(melodies, np.random.default_rng(0).integers(0, 3, 120), first, space)
    assert arbitrary.right.mean() < 0.55


def test_the_plan_asks_all_methods_for_the_same() -> None:
    plan = Plan.of(20, 5, 4)
    assert np.bincount(plan.group, minlength=3)[[JOINT, SAME, MOODS]].tolist() == [20, 5 * SAME_TARGETS, 36]
    assert plan.rows("CMA-ES").tolist() == list(range(20 + 5 * SAME_TARGETS))
    assert plan.rows("... without value").tolist() == list(range(20))
    assert Plan.of(ABLATED + 20, 5, 4).rows("... without value").tolist() == list(range(ABLATED))
    assert len(plan.rows(FULL)) == len(plan.seed) == len(plan.targets.density)
    same = plan.group == SAME
    assert len(set(zip(plan.targets.density[same], plan.seed[same], strict=True))) == 5 * SAME_TARGETS
    assert len(set(plan.targets.density[same])) == SAME_TARGETS
    longer = Plan.of(40, 5, 4)
    assert longer.targets.density[:20].min() >= 2
    assert longer.targets.density[:40].max() <= 9


@pytest.fixture(scope="module")
def figures() -> Figures:
    """A run whose methods copied tunes of a density near the targets', apart from one that did not listen."""
    plan = Plan.of(24, 4, 4)
    many = tunes(0, 500)
    corpora = [evenly(each) for each in (many[:400], many[400:])]
    everything = evenly(many)
    outcomes = {}
    for number, method in enumerate(METHODS):
        rows = plan.rows(method)
        targets = plan.targets.of(rows)
        chosen = nearest_real(everything, targets.density, targets.major, seed=number)
        if method == "CMA-ES":
            chosen = np.arange(len(rows))
        seconds = np.linspace(1, 2, len(rows))
        outcomes[method] = Outcome(rows, fit_register(many[chosen], 70.0)[0], seconds, np.zeros(len(rows)))
    return Figures(plan, outcomes, 1.5, *corpora)


def test_the_report_says_what_was_measured(figures: Figures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RESAMPLES", "FEWER_RESAMPLES"):
        monkeypatch.setattr(f"generator.evaluation.measures.{name}", 20)
    report = write(figures, tmp_path, "python -m generator evaluate --targets 24", "default").read_text()
    for method in METHODS:
        rows = report.count(f"| {f'**{method}**' if method == FULL else method} |")
        assert rows == 1 if method.startswith(LESS) else rows >= 3, method
    targets = figures.plan.targets.of(figures.wanted)
    error = np.abs(figures.melodies("CMA-ES").density - targets.density).mean()
    assert f"{error:.2f} [" in next(line for line in report.splitlines() if line.startswith("| CMA-ES |"))
    for name in ("control", "copying", "confusion"):
        assert f"(evaluation-{name}.png)" in report
        assert (tmp_path / f"evaluation-{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert not re.search(r"\bnan\b", report)


def test_a_method_that_does_not_listen_shows_in_the_figures(figures: Figures) -> None:
    deaf, hearing = figures.control("CMA-ES"), figures.control(FULL)
    assert hearing["density r"][0] > 0.6 > deaf["density r"][2]
    assert deaf["density error"][0] > 1.3 * hearing["density error"][0]
    assert hearing["seconds, median"][0] == pytest.approx(np.median(np.linspace(1, 2, 72)[:24]))


def test_copies_of_training_tunes_show_in_the_figures(figures: Figures) -> None:
    assert np.median(figures.runs(FULL, rhythm=True)) > 2 * np.median(figures.runs(None, rhythm=True))


def test_every_way_is_at_least_as_good_as_the_draws_it_begins_with(setting: Setting) -> None:
    start = search(one_sample, setting, TARGETS, 4, 10.0).total
    for name in ("best of N prior samples", "attribute vectors", "gradient on the critic", "actor alone"):
        found = METHODS[name](setting, TARGETS, 4, 3.0)
        assert found.tokens.shape == (256,)
        assert found.total < start, name


def test_evolution_improves_on_its_start(setting: Setting) -> None:
    batches = evolution(setting, TARGETS, 4)
    totals = []
    z = next(batches)
    for _ in range(8):
        home = setting.models.decode(z)
        judged = judge(setting.models.networks, z, home, TARGETS)
        totals.append(judged.totals.min())
        z = batches.send((home, judged))
    assert min(totals[4:]) < totals[0]


def test_attribute_vectors_move_the_attributes_they_are_for(setting: Setting) -> None:
    models, vectors = setting.models, setting.attributes.vectors
    z = models.starts(32, 77)
    for place, wanted in ((0, "density"), (1, "pitch"), (2, "mode")):
        less, more = (getattr(Melodies(models.decode(z + sign * vectors[place])), wanted).mean() for sign in (-1, 1))
        assert more > less, wanted


def test_a_way_keeps_to_its_time(setting: Setting) -> None:
    short, long = (METHODS["best of N prior samples"](setting, TARGETS, 1, seconds) for seconds in (0.0, 3.0))
    assert short.seconds < long.seconds
    assert long.total <= short.total


def test_the_method_without_a_part_leaves_the_shared_networks_alone(setting: Setting) -> None:
    before = setting.models.networks.weights
    METHODS["... without value"](setting, TARGETS, 1, 0.0)
    assert setting.models.networks.weights == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--targets", "20"], "name the npz with --data"),
        (["--targets", "2", "--data", "x.npz"], "--targets goes from 12 upwards, not 2"),
        (["--targets", "20", "--data", "missing.npz"], "missing.npz"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_folder_of_another_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows = tunes(0, 60)
    data = tmp_path / "tunes.npz"
    np.savez(data, windows=windows, split=np.arange(60) % 3, cluster=np.arange(60))
    work = tmp_path / "work"
    work.mkdir()
    (work / "run.json").write_text(json.dumps({"weights": "others"}))
    assert main(["evaluate", "--targets", "12", "--data", str(data), "--work", str(work), "--out", str(tmp_path)]) == 1
    assert "name another folder with --work" in capsys.readouterr().err
