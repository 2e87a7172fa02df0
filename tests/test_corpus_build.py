"""A corpus is built from a user's own files: what is in them, what is kept together, and what is passed over."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from generator.__main__ import main
from generator.corpus_build import reading
from generator.corpus_build.build import build, find
from generator.corpus_build.duplicates import clusters, split
from generator.corpus_build.reading import Job, read_tune
from generator.corpus_build.score import is_tune
from generator.key import transpose
from generator.melody import tokens_to_midi
from generator.musicvae.corpus import load_corpus

LETTERS = "CDEFGABcdefgab"
PITCHES = dict(zip(LETTERS, (60, 62, 64, 65, 67, 69, 71, 72, 74, 76, 77, 79, 81, 83), strict=True))


def letters(seed: int, count: int = 64) -> str:
    """A tune of quarter notes, one letter each."""
    return "".join(np.random.default_rng(seed).choice(list(LETTERS), count))


def tokens_of(tune: str) -> np.ndarray:
    tokens = np.zeros(256, np.uint8)
    tokens[::4] = [PITCHES[letter] - 19 for letter in tune]
    return tokens


def abc(tune: str, number: int = 1, metre: str = "4/4", each: int = 4) -> str:
    bars = ["".join(tune[first : first + each]) for first in range(0, len(tune), each)]
    return f"X:{number}\nT:tune {number}\nM:{metre}\nL:1/4\nK:C\n{'|'.join(bars)}|]\n\n"


def musicxml(tune: str) -> str:
    notes = [
        f"<note><pitch><step>{letter.upper()}</step><octave>{4 + letter.islower()}</octave></pitch>"
        "<duration>1</duration><type>quarter</type></note>"
        for letter in tune
    ]
    head = "<attributes><divisions>1</divisions><time><beats>4</beats><beat-type>4</beat-type></time></attributes>"
    bars = "".join(
        f'<measure number="{k + 1}">{"" if k else head}{"".join(notes[4 * k : 4 * k + 4])}</measure>'
        for k in range(len(tune) // 4)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><score-partwise version="3.1"><part-list><score-part id="P1"><part-name>'
        f'V</part-name></score-part></part-list><part id="P1">{bars}</part></score-partwise>'
    )


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def found(path: Path, number: int | None = None) -> list[tuple[int, ...]]:
    return [tuple(window) for window in read_tune(Job(path, path, number)).windows]


def test_a_corpus_from_every_kind_of_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of each kind, a transposed copy, a collection, and files that cannot be used; then training takes it."""
    music = tmp_path / "music"
    write(music / "one.mid", tokens_to_midi(tokens_of(letters(1))))
    write(music / "deep" / "one up a fourth.mid", tokens_to_midi(transpose(tokens_of(letters(1)), 5)))
    write(music / "two.abc", abc(letters(2)))
    write(music / "three.musicxml", musicxml(letters(3)))
    write(music / "many.abc", abc(letters(4), 1) + abc(letters(5), 2) + "X:3\nT:no notes\nK:C\n" + abc(letters(6), 4))
    write(music / "broken.mid", b"MThd and then nothing")
    write(music / "broken.musicxml", musicxml(letters(7))[:400])
    write(music / "short.abc", abc(letters(8)[:32]))
    write(music / "notes.txt", "no music")
    out = tmp_path / "my.npz"
    assert main(["corpus", "build", str(music), "--out", str(out), "--seed", "3"]) == 0
    said = capsys.readouterr().out
    for name in ("broken.mid", "broken.musicxml", "short.abc", "many.abc#3"):
        assert f"passed over {name}: " in said
    assert "tunes        7\npassed over  4\nwindows      7\nclusters     6" in said
    assert str(tmp_path / "music") not in said

    data = np.load(out)
    ids = list(data["tune_ids"])
    assert set(ids) == {
        "deep/one up a fourth.mid", "many.abc#1", "many.abc#2", "many.abc#4", "one.mid", "three.musicxml", "two.abc"
    }  # fmt: skip
    row = {ids[tune]: k for k, tune in enumerate(data["tune"])}
    for name, seed in (("one.mid", 1), ("two.abc", 2), ("three.musicxml", 3), ("many.abc#2", 5)):
        assert np.array_equal(data["windows"][row[name]], tokens_of(letters(seed))), name
    same = data["cluster"][row["one.mid"]] == data["cluster"]
    assert {ids[data["tune"][k]] for k in np.flatnonzero(same)} == {"one.mid", "deep/one up a fourth.mid"}
    assert len(set(data["split"][same])) == 1
    assert sorted(set(data["split"])) == [0, 1, 2]

    sizes = {name: len(load_corpus(out, name).windows) for name in ("train", "valid", "test")}
    assert sum(sizes.values()) == 7
    again = tmp_path / "again.npz"
    assert main(["corpus", "build", str(music), "--out", str(again), "--seed", "3"]) == 0
    assert again.read_bytes() == out.read_bytes()


def test_metres_beside_four_four(tmp_path: Path) -> None:
    """2/4 comes joined and stretched, 4/2 split; 3/4 is refused."""
    tune = letters(9)
    joined, stretched = tokens_of(tune), np.zeros(256, np.uint8)
    stretched[::8] = tokens_of(tune)[:128:4]
    result = read_tune(Job(path := write(tmp_path / "a.abc", abc(tune, metre="2/4", each=2)), path))
    assert tuple(joined) in [tuple(w) for w in result.windows[result.variant == 1]]
    assert tuple(stretched) in [tuple(w) for w in result.windows[result.variant == 2]]
    result = read_tune(Job(path := write(tmp_path / "b.abc", abc(tune, metre="4/2", each=8)), path))
    assert [tuple(window) for window in result.windows] == [tuple(joined)]
    assert set(result.variant) == {3}
    with pytest.raises(ValueError, match=r"expected 16 bars of 4/4.*it is in 3/4"):
        read_tune(Job(path := write(tmp_path / "c.abc", abc(tune, metre="3/4", each=3)), path))


def test_repeats_are_written_out_and_upbeats_left_out(tmp_path: Path) -> None:
    half = letters(10, 32)
    bars = "|".join(half[k : k + 4] for k in range(0, 32, 4))
    head = "X:1\nM:4/4\nL:1/4\nK:C\n"
    assert found(write(tmp_path / "a.abc", f"{head}|:{bars}:|\n")) == [tuple(tokens_of(half + half))]
    tune = letters(11)
    bars = "|".join(tune[k : k + 4] for k in range(0, 64, 4))
    assert found(write(tmp_path / "b.abc", f"{head}e|{bars}|]\n")) == [tuple(tokens_of(tune))]
    # Two repeats of which only the ends are marked, with an upbeat to each: A A B B.
    a, b = letters(12, 31), letters(13, 31)
    first, second = ("|".join([part[k : k + 4] for k in range(0, 28, 4)] + [part[28:]]) for part in (a, b))
    windows = found(write(tmp_path / "c.abc", f"{head}e|{first}:|\nf|{second}:|\n"))
    assert len(windows) == 17
    assert windows[0] == tuple(tokens_of(a + "e" + a + "f"))
    assert windows[-1][:248] == tuple(tokens_of(b + "f" + b + "C"))[:248]


def test_ornaments_go_ties_hold_and_of_a_chord_the_top_stays(tmp_path: Path) -> None:
    tune = "CDEF" * 16
    bars = ["{d}[CE]D-DF", *(tune[k : k + 4] for k in range(4, 64, 4))]
    (window,) = found(write(tmp_path / "a.abc", f"X:1\nM:4/4\nL:1/4\nK:C\n{'|'.join(bars)}|]\n"))
    assert window[:16] == (45, 0, 0, 0, 43, 0, 0, 0, 0, 0, 0, 0, 46, 0, 0, 0)


def test_windows_that_lose_notes_to_the_grid_are_dropped(tmp_path: Path) -> None:
    fast = "C/8D/8E/8F/8G/8A/8B/8c/8" + "DEF"
    tune = "|".join([fast] * 16)
    with pytest.raises(ValueError, match="expected 16 bars"):
        found(write(tmp_path / "a.abc", f"X:1\nM:4/4\nL:1/4\nK:C\n{tune}|]\n"))


def test_silence_and_too_few_notes_are_no_tune() -> None:
    tokens = tokens_of(letters(12))
    assert is_tune(tokens)
    silent = tokens.copy()
    silent[64:81] = 0
    silent[64] = 1
    silent[81] = 44
    assert not is_tune(silent)
    assert not is_tune(np.where(np.arange(256) < 60, tokens, 0).astype(np.uint8))
    assert not is_tune(np.where(tokens > 0, 44, 0).astype(np.uint8))


def test_other_passing_notes_do_not_hide_a_duplicate() -> None:
    tokens = np.stack([tokens_of(letters(seed)) for seed in (1, 1, 2)])
    tokens[1] = transpose(tokens[1], -3)
    tokens[1, 2::8] = 50
    assert clusters(tokens, np.array([4, 5, 6])).tolist() == [4, 4, 6]


def test_no_cluster_is_torn_apart_and_each_split_gets_its_share() -> None:
    cluster = np.repeat(np.arange(400), np.random.default_rng(0).integers(1, 30, 400))
    which = split(cluster, seed=1)
    assert all(len(set(which[cluster == each])) == 1 for each in range(400))
    shares = np.bincount(which) / len(which)
    assert shares[1] == pytest.approx(0.05, abs=0.01)
    assert shares[2] == pytest.approx(0.05, abs=0.01)
    assert np.array_equal(which, split(cluster, seed=1))
    assert not np.array_equal(which, split(cluster, seed=2))
    assert sorted(split(np.array([1, 2, 2, 3]), 0)[[0, 1, 3]]) == [0, 1, 2]
    with pytest.raises(ValueError, match="at least 3 unrelated tunes"):
        split(np.array([1, 1, 2]), 0)


def test_a_reader_that_hangs_or_dies_costs_one_tune(tmp_path: Path) -> None:
    for name in ("a", "b", "c", "d"):
        write(tmp_path / f"{name}.mid", tokens_to_midi(tokens_of(letters(ord(name)))))
    with zipfile.ZipFile(tmp_path / "bomb.mxl", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("score.xml", b" " * (reading.MAX_UNPACKED + 1))
    write(tmp_path / "many.abc", abc("[" * 2000))
    said: list[str] = []
    counted = build(find([tmp_path], said.append), tmp_path / "x.npz", 0, 60, said.append)
    assert counted["tunes"] == 4
    assert any(line.startswith("passed over bomb.mxl: expected a score of at most") for line in said)
    said.clear()
    with pytest.raises(ValueError, match="none of 6 tunes"):
        build(find([tmp_path], said.append), tmp_path / "y.npz", 0, 0.001, said.append)
    assert "expected to be read within 0.001 s" in said[0]
    assert not (tmp_path / "y.npz").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: expected a folder"),
        ([], "name folders of music, or --music21"),
        (["--music21", "nobody"], "has no part nobody. It has: airdsAirs"),
        (["."], "expected files that end in .mid"),
    ],
)
def test_the_command_says_what_is_wrong(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(tmp_path) if each == "." else each for each in arguments]
    assert main(["corpus", "build", *arguments, "--out", "o.npz"]) == 1
    assert message in capsys.readouterr().err
