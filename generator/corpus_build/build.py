"""A file of melodies to train on, from one's own music: `python -m generator corpus build FOLDER... --out my.npz`.

The file has the arrays that `python -m generator train --data` reads (windows, split, cluster) and where each window
comes from (corpus, tune, bar, variant). The same files and seed give the same file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from generator.corpus_build.duplicates import clusters, split
from generator.corpus_build.reading import FORMATS, SECONDS, Job, jobs_of, read_all
from generator.corpus_build.score import VARIANTS, Found
from generator.musicvae.corpus import SPLITS

MOST_TUNES, MOST_WINDOWS = 200_000, 2_000_000
NAMED = 20  # tunes that were passed over are named one by one up to here, and then counted
NOT_KNOWN = 2  # licence; 0 and 1 are those of the project's own corpus

Say = Callable[[str], None]


def find(folders: Iterable[Path], say: Say) -> list[Job]:
    """All tunes below some folders (or files), in a fixed order. Links to folders are not followed.

    Raises FileNotFoundError, or ValueError where nothing that can be read is there.
    """
    jobs: list[Job] = []
    for root in folders:
        if not root.exists():
            raise FileNotFoundError(f"{root}: expected a folder or a file of music, found nothing")
        below = (Path(at) / name for at, _, names in os.walk(root) for name in names)
        for path in [root] if root.is_file() else sorted(below):
            if path.suffix.lower() in FORMATS and path.is_file():
                try:
                    jobs += jobs_of(path, root)
                except OSError as error:
                    say(f"passed over {path.name}: {error.strerror or error}")
    if not jobs:
        raise ValueError(f"expected files that end in {', '.join(FORMATS)}; found none")
    if len(jobs) > MOST_TUNES:
        raise ValueError(f"expected at most {MOST_TUNES:,} tunes, found {len(jobs):,}; build from fewer folders")
    return jobs


def build(jobs: list[Job], out: Path, seed: int, seconds: float, say: Say) -> dict[str, Any]:
    """Read all tunes and write the file; returns what was counted. seconds: for one tune, at most.

    Raises ValueError where too few tunes can be used.
    """
    from tqdm import tqdm

    found: list[tuple[Job, Found]] = []
    skipped = windows = 0
    for job, result in tqdm(read_all(jobs, seconds), total=len(jobs), unit="tune", desc="read", disable=None):
        if isinstance(result, str):
            skipped += 1
            if skipped <= NAMED:
                say(f"passed over {job.name}: {' '.join(result.split())}")
            continue
        windows += len(result.windows)
        if windows > MOST_WINDOWS:
            raise ValueError(f"expected at most {MOST_WINDOWS:,} windows; build from fewer folders")
        found.append((job, result))
    if skipped > NAMED:
        say(f"... and {skipped - NAMED} more")
    if not found:
        raise ValueError(f"none of {len(jobs)} tunes has 16 bars of melody that could be used")
    arrays = _arrays(found, seed)
    part = out.with_name(out.name + ".part")
    out.parent.mkdir(parents=True, exist_ok=True)
    with part.open("wb") as file:
        np.savez_compressed(file, **arrays)
    part.replace(out)
    return {
        "tunes": len(found),
        "passed over": skipped,
        "windows": windows,
        "clusters": len(np.unique(arrays["cluster"])),
        "splits": _count(arrays["split"], tuple(SPLITS)),
        "variants": _count(arrays["variant"], VARIANTS),
    }


def _count(numbers: npt.NDArray[np.integer], names: tuple[str, ...]) -> dict[str, int]:
    return dict(zip(names, np.bincount(numbers, minlength=len(names)).tolist(), strict=True))


def _arrays(found: list[tuple[Job, Found]], seed: int) -> dict[str, Any]:
    """What the file holds, by name."""
    sizes = [len(each.windows) for _, each in found]
    tune = np.repeat(np.arange(len(found), dtype=np.int32), sizes)
    roots = sorted({job.root for job, _ in found})
    windows = np.concatenate([each.windows for _, each in found])
    cluster = clusters(windows, tune)
    return {
        "windows": windows,
        "split": split(cluster, seed),
        "cluster": cluster,
        "corpus": np.array([roots.index(job.root) for job, _ in found], np.uint8)[tune],
        "corpus_names": np.array([root.name for root in roots]),
        "tune": tune,
        "tune_ids": np.array([job.name for job, _ in found]),
        "tune_bpm": np.array([each.bpm for _, each in found], np.float32),
        "tune_key": np.array([each.key for _, each in found]),
        "bar": np.concatenate([each.bar for _, each in found]),
        "variant": np.concatenate([each.variant for _, each in found]),
        "lic": np.full(len(windows), NOT_KNOWN, np.uint8),
    }


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `corpus build` on a command line; its `run(args)` raises ValueError and OSError."""
    parts = subparsers.add_parser("corpus", help="files of melodies to train on").add_subparsers(
        required=True, metavar="part"
    )
    parser = parts.add_parser("build", help="make one from MIDI, ABC, MusicXML and Humdrum files")
    parser.add_argument(
        "folders", nargs="*", type=Path, metavar="FOLDER", help="folders, with all below them, or files"
    )
    parser.add_argument(
        "--music21",
        nargs="*",
        metavar="PART",
        help="music21's own corpus too: all of it, or folders of it such as airdsAirs ryansMammoth",
    )
    parser.add_argument("--out", type=Path, required=True, help="the file to write, .npz")
    parser.add_argument("--seed", type=int, default=0, help="which tunes are held out (default 0)")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="for reading one tune, at most (default 60)")
    parser.set_defaults(run=_run)


def music21_folders(parts: list[str]) -> list[Path]:
    """Folders of music21's own corpus; all of it for an empty list. Raises ValueError for a part that is not there."""
    import music21

    home = Path(music21.__file__).parent / "corpus"
    there = sorted(each.name for each in home.iterdir() if each.is_dir() and not each.name.startswith("_"))
    if unknown := sorted(set(parts) - set(there)):
        raise ValueError(f"music21's corpus has no part {', '.join(unknown)}. It has: {', '.join(there)}")
    return [home / part for part in parts or there]


def _run(args: argparse.Namespace) -> None:
    folders = list(args.folders) + (music21_folders(args.music21) if args.music21 is not None else [])
    if not folders:
        raise ValueError("corpus build: name folders of music, or --music21")
    if args.out.suffix != ".npz":
        raise ValueError(f"corpus build: --out must end in .npz, not {args.out.name}")

    def say(line: str) -> None:
        print(line, flush=True)

    for name, value in build(find(folders, say), args.out, args.seed, args.seconds, say).items():
        counts = value.items() if isinstance(value, dict) else [("", value)]
        print(f"{name:12} " + ", ".join(f"{key} {count:,}".strip() for key, count in counts))
    print(f"wrote {args.out}; check that you may use these tunes: licences are not looked at")
