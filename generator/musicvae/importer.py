"""Takes in Magenta's pretrained melody models: `python -m generator import NAME_OR_PATH`.

A path (TensorFlow's .index, prefix, directory or .tar; TensorFlow.js's directory or manifest) or an official name,
which is fetched from Magenta's public address. Nothing is fetched unless this is called.
"""

from __future__ import annotations

import argparse
import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from generator.musicvae.checkpoint import Checkpoint
from generator.musicvae.errors import CheckpointError
from generator.musicvae.fetch import fetch
from generator.musicvae.lstm_config import infer_config
from generator.musicvae.lstm_store import write_stream
from generator.musicvae.tf_bundle import open_bundle
from generator.musicvae.tfjs import MANIFEST, manifest_paths, open_tfjs


@dataclass(frozen=True)
class Official:
    """A published model: its address (a .tar, or a directory of TensorFlow.js), and the most bytes a file may have."""

    url: str
    limit: int


# Both of Magenta's published 16-bar melody models.
OFFICIAL = {
    "hierdec-mel_16bar": Official(
        "https://storage.googleapis.com/magentadata/models/music_vae/checkpoints/hierdec-mel_16bar.tar", 2_500_000_000
    ),
    "mel_16bar_small_q2": Official(
        "https://storage.googleapis.com/magentadata/js/checkpoints/music_vae/mel_16bar_small_q2/", 100_000_000
    ),
}


def models_folder() -> Path:
    """Where imported models lie: $MAEUM_MODELS, or maeum/models in the user's data folder."""
    if chosen := os.environ.get("MAEUM_MODELS"):
        return Path(chosen)
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "maeum" / "models"


def imported_models(folder: Path | None = None) -> dict[str, Path]:
    """Name -> file of each imported model, for `--model` and the page's choice."""
    return {path.stem: path for path in sorted((folder or models_folder()).glob("[!.]*.safetensors"))}


def open_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint at a path, of whichever kind. Raises CheckpointError where there is none or it is not sound."""
    if path.suffix == ".json" or (path / MANIFEST).is_file():
        return open_tfjs(path)
    return open_bundle(path)


def import_checkpoint(
    name_or_path: str, folder: Path | None = None, name: str | None = None, progress: bool = True
) -> Path:
    """Write a checkpoint's melody model to NAME.safetensors in the models' folder, whole or not at all.

    name: what to call it; without it, the official name or what the path is called. Returns the file. Raises
    CheckpointError, which names the file, the tensor, what was expected and what was found.
    """
    folder = folder or models_folder()
    official = OFFICIAL.get(name_or_path)
    target = folder / f"{_plain_name(name or name_or_path, given=name is not None)}.safetensors"
    if official is None:
        path = Path(name_or_path)
        if not (path.exists() or path.with_name(path.name + ".index").is_file()):
            expected = f"a path, or one of {', '.join(OFFICIAL)}"
            raise CheckpointError(name_or_path, expected, "neither a file nor an official name")
        _write(path, target, path.name, progress)
        return target
    downloads = folder / "downloads" / name_or_path
    fetched = _fetch(official, downloads, progress)
    try:
        _write(fetched, target, official.url, progress)
    except CheckpointError:
        shutil.rmtree(downloads)  # whole, but not what it should be: the next try must not go on with it
        raise
    shutil.rmtree(downloads)
    return target


def _fetch(official: Official, downloads: Path, progress: bool) -> Path:
    if not official.url.endswith("/"):
        path = downloads / official.url.rsplit("/", 1)[-1]
        fetch(official.url, path, official.limit, progress)
        return path
    manifest = downloads / MANIFEST
    fetch(official.url + MANIFEST, manifest, official.limit, progress)
    for shard in manifest_paths(manifest):
        if not shard.exists():  # those that came whole before a break
            fetch(official.url + shard.name, shard, official.limit, progress)
    return downloads


def _write(path: Path, target: Path, source: str, progress: bool) -> None:
    from tqdm import tqdm

    checkpoint = open_checkpoint(path)
    tensors = infer_config(checkpoint.shapes, checkpoint.name).tensors()
    total = sum(4 * math.prod(shape) for shape in tensors.values())
    with tqdm(total=total, unit="B", unit_scale=True, desc=f"import {target.stem}", disable=not progress) as bar:
        write_stream(checkpoint, target, source, bar.update)


def _plain_name(text: str, given: bool) -> str:
    """A model's name from a path, an official name or the user: letters, digits, dot, dash and underscore."""
    if given:
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", text):
            raise CheckpointError(text, "a name of letters, digits, '.', '-' and '_'", "other signs")
        return text
    path = Path(text)
    stem = path.resolve().parent.name if path.name == MANIFEST else Path(path.resolve()).name
    stem = re.sub(r"(\.index|\.tar|\.ckpt)+$", "", stem)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip(".-")[:100] or "model"


def add_commands(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Mount `import` on a command line; its `run(args)` raises CheckpointError."""
    parser = subparsers.add_parser(
        "import", help="take in a pretrained MusicVAE melody model", description=__doc__.split("\n\n", 1)[1]
    )
    parser.add_argument("source", metavar="NAME_OR_PATH", help=f"a checkpoint's path, or one of {', '.join(OFFICIAL)}")
    parser.add_argument("--name", help="what to call the model (default: as the source is called)")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> None:
    path = import_checkpoint(args.source, name=args.name)
    print(f"{path.stem}: {path}\nTrain an actor for it with: python -m generator train-actor --model {path.stem}")
