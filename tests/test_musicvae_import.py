"""Checkpoints of TensorFlow and TensorFlow.js must come in whole and exactly, and bad ones be refused by name."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from generator.musicvae.errors import CheckpointError
from generator.musicvae.importer import add_commands, import_checkpoint, imported_models
from generator.musicvae.lstm_config import LstmConfig
from generator.musicvae.lstm_store import load_lstm
from generator.musicvae.magenta_names import slots
from tests.checkpoint_files import SMALL, SMALL_JS, Arrays, random_weights, table, write_bundle, write_tar, write_tfjs

SHARED = Path(__file__).parents[2] / "shared" / "musicvae" / "fixtures"
recorded = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the recorded checkpoints lie in ../shared, which is not here"
)
BIAS = "core_decoder/decoder/output_projection/bias"
KERNEL = "encoder/mu/kernel"


def take_in(source: Path, folder: Path) -> Path:
    return import_checkpoint(str(source), folder / "models", progress=False)


def refused(source: Path, folder: Path, *words: str) -> str:
    """The message of the refusal, which must have these words; nothing may be left behind."""
    with pytest.raises(CheckpointError) as caught:
        take_in(source, folder)
    message = str(caught.value)
    for word in words:
        assert word in message
    assert len(message) < 600
    left = list((folder / "models").rglob("*")) if (folder / "models").exists() else []
    assert left == []
    return message


# ---- what must come in

Writer = Callable[[Path, Arrays], Path]
WAYS: dict[str, Writer] = {
    "index": lambda folder, arrays: write_bundle(folder / "m.ckpt", arrays),
    "prefix": lambda folder, arrays: write_bundle(folder / "m.ckpt", arrays).with_suffix(""),
    "directory": lambda folder, arrays: write_bundle(folder / "ckpt" / "m.ckpt", arrays).parent,
    "three data files": lambda folder, arrays: write_bundle(folder / "m.ckpt", arrays, shards=3),
    "snappy": lambda folder, arrays: write_bundle(folder / "m.ckpt", arrays, snappy=True),
    "tar": lambda folder, arrays: tar_of(write_bundle(folder / "ckpt" / "m.ckpt", arrays, shards=2), folder / "m.tar"),
    "tfjs": lambda folder, arrays: write_tfjs(folder / "js", arrays, cut=997).parent,
    "manifest": lambda folder, arrays: write_tfjs(folder / "js", arrays),
}


def tar_of(index: Path, path: Path, inside: str = "some/where/") -> Path:
    return write_tar(path, {inside + file.name: file.read_bytes() for file in sorted(index.parent.iterdir())})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("config", [SMALL, SMALL_JS], ids=lambda config: config.form)
def test_every_form_comes_in_bit_for_bit(tmp_path: Path, way: str, config: LstmConfig) -> None:
    arrays = random_weights(config)
    others = {
        "global_step": np.array(7, "<i8"),
        "encoder/mu/kernel/Adam": np.ones((14, 3), "<f4"),
        "x/opaque": arrays[BIAS],
    }
    given = arrays if way in ("tfjs", "manifest") else arrays | others
    path = take_in(WAYS[way](tmp_path, given), tmp_path)
    found = load_file(path)
    assert set(found) == set(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
    model = load_lstm(path)
    assert model.config == config
    for name, slot in slots(model).items():
        np.testing.assert_array_equal(slot.get(), arrays[name])
    assert imported_models(path.parent) == {path.stem: path}


@pytest.mark.parametrize(("stored", "levels"), [("uint16", 65535), ("uint8", 255)])
def test_quantised_weights_are_off_by_half_a_level_at_most(tmp_path: Path, stored: str, levels: int) -> None:
    arrays = random_weights(SMALL_JS)
    found = load_file(take_in(write_tfjs(tmp_path / "q", arrays, stored, cut=333), tmp_path))  # cuts inside numbers
    for name, array in arrays.items():
        assert np.abs(found[name] - array).max() <= 0.51 * (array.max() - array.min()) / levels + 1e-7


@recorded
@pytest.mark.parametrize("name", ["tiny_ckpt", "hierdec-mel_tiny.tar", "tiny_ckpt/hierdec-mel_tiny.ckpt"])
def test_recorded_tensorflow_checkpoints(tmp_path: Path, name: str) -> None:
    with np.load(SHARED / "tiny.npz") as tiny:
        model = load_lstm(take_in(SHARED / name, tmp_path))
        tokens = model.decode(torch.from_numpy(tiny["z"]))
        np.testing.assert_array_equal(tokens.numpy(), tiny["greedy_tokens"])
        mu, sigma = model.encode(torch.from_numpy(tiny["enc_tokens"]))
        np.testing.assert_allclose(mu.numpy(), tiny["enc_mu"], rtol=0, atol=1e-5)
        np.testing.assert_allclose(sigma.numpy(), tiny["enc_sigma"], rtol=0, atol=1e-5)


@recorded
def test_recorded_training_checkpoint_with_adam_slots(tmp_path: Path) -> None:
    found = load_file(take_in(SHARED / "tiny_train_ckpt", tmp_path))
    with np.load(SHARED / "tiny_train.npz") as trained:
        matches = [
            all(np.allclose(found[name], trained[f"{setting}/after3/{name}"], atol=1e-6) for name in found)
            for setting in ("default", "lowfree", "clip")
        ]
    assert any(matches)


@recorded
@pytest.mark.parametrize(("name", "kind"), [("js_ckpt_tiny", "js"), ("js_ckpt_tiny_q2", "js_q2")])
def test_recorded_javascript_checkpoints(tmp_path: Path, name: str, kind: str) -> None:
    with np.load(SHARED / "js_tiny_hier.npz") as js:
        model = load_lstm(take_in(SHARED / name, tmp_path))
        np.testing.assert_array_equal(model.decode(torch.from_numpy(js["z"])).numpy(), js[f"{kind}_tokens"])
        mu, _ = model.encode(torch.from_numpy(js["enc_tokens"]))
        np.testing.assert_allclose(mu.numpy(), js[f"{kind}_mu"], rtol=0, atol=1e-5)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_peak_memory_stays_below_the_files_size(tmp_path: Path) -> None:
    """The bound is 1.3 times the file; the interpreter's own 40 MB count in it."""
    config = LstmConfig(encoder=(512, 512), decoder=(512, 512), z=256)
    index = write_bundle(tmp_path / "big.ckpt", random_weights(config))
    size = Path(f"{index.with_suffix('')}.data-00000-of-00001").stat().st_size
    assert size > 60_000_000
    script = (
        "import sys; from pathlib import Path; from generator.musicvae.importer import import_checkpoint;"
        "import_checkpoint(sys.argv[1], Path(sys.argv[2]), progress=False);"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", script, str(index), str(tmp_path / "models")]
    peak = 1024 * int(subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout)
    assert (tmp_path / "models" / "big.safetensors").stat().st_size > size
    assert peak <= 1.3 * size


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MAEUM_MODELS", str(tmp_path / "models"))
    parser = argparse.ArgumentParser()
    add_commands(parser.add_subparsers())
    index = write_bundle(tmp_path / "my model.ckpt", random_weights(SMALL))
    for extra, name in (([], "my-model"), (["--name", "second"], "second")):
        args = parser.parse_args(["import", str(index), *extra])
        args.run(args)
        assert f"{name}: {tmp_path / 'models' / name}" in capsys.readouterr().out
    assert list(imported_models()) == ["my-model", "second"]


# ---- what must not


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, Path]:
    """A sound checkpoint's index and its data file."""
    index = write_bundle(tmp_path / "m.ckpt", random_weights(SMALL))
    return index, tmp_path / "m.ckpt.data-00000-of-00001"


def test_truncated_data(tmp_path: Path, bundle: tuple[Path, Path]) -> None:
    index, data = bundle
    data.write_bytes(data.read_bytes()[:-100])
    refused(index, tmp_path, "m.ckpt.data-00000-of-00001: encoder/sigma/kernel: ", "expected at least", "cut off")


def test_missing_data(tmp_path: Path, bundle: tuple[Path, Path]) -> None:
    index, data = bundle
    data.unlink()
    refused(index, tmp_path, "m.ckpt.index: expected the data file m.ckpt.data-00000-of-00001")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_anywhere_in_the_data(tmp_path: Path, bundle: tuple[Path, Path], place: float, bit: int) -> None:
    index, data = bundle
    sound = data.read_bytes()
    flipped = bytearray(sound)
    flipped[int(place * len(sound))] ^= 1 << bit
    data.write_bytes(flipped)
    refused(index, tmp_path, "expected")
    data.write_bytes(sound)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), cut=st.booleans())
def test_a_damaged_index(tmp_path: Path, bundle: tuple[Path, Path], place: float, bit: int, cut: bool) -> None:
    """Whatever is damaged: refused by a clear error, or (in bytes that mean nothing) read as before."""
    index, _ = bundle
    sound = index.read_bytes()
    at = int(place * len(sound))
    damaged = bytearray(sound[:at] if cut else sound)
    if not cut:
        damaged[at] ^= 1 << bit
    index.write_bytes(damaged)
    try:
        path = take_in(index, tmp_path)
    except CheckpointError as error:
        assert "m.ckpt" in str(error)  # noqa: PT017 - both outcomes are allowed
    else:
        for name, array in random_weights(SMALL).items():
            np.testing.assert_array_equal(load_file(path)[name], array)
        path.unlink()
    finally:
        index.write_bytes(sound)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"offset": 1 << 60}, ["bytes", "found"]),
        ({"offset": (1 << 64) - 1}, ["bytes", "found"]),
        ({"shape": (1 << 40, 3)}, ["expected shape [8, 3]", "found shape [1099511627776, 3]"]),
        ({"shape": (8,)}, ["expected shape [8, 3]", "found shape [8]"]),
        ({"shape": ()}, ["expected shape [8, 3]", "found shape []"]),
        ({"shape": (1,) * 9}, ["8 dimensions"]),
        ({"size": 1 << 62}, ["96 bytes for shape [8, 3]"]),
        ({"size": 92}, ["96 bytes for shape [8, 3]", "found 92 bytes"]),
        ({"shard": 5}, ["data in one of 1 files", "file 5"]),
        ({"dtype": 2}, ["float32", "type 2"]),
        ({"checksum": 1}, ["checksum 0x00000001", "damaged"]),
    ],
)
def test_false_statements_about_a_tensor(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    index = write_bundle(tmp_path / "m.ckpt", random_weights(SMALL), changes={KERNEL: changes})
    refused(index, tmp_path, "m.ckpt", KERNEL, *words)


def test_not_a_number(tmp_path: Path) -> None:
    arrays = random_weights(SMALL)
    arrays[KERNEL][3, 1] = np.nan
    refused(write_bundle(tmp_path / "m.ckpt", arrays), tmp_path, KERNEL, "finite numbers")


def test_wrong_architecture_names_the_missing_tensor(tmp_path: Path) -> None:
    arrays = random_weights(SMALL)
    del arrays["decoder/hierarchical_level_0/cell_1/lstm_cell/kernel"]
    index = write_bundle(tmp_path / "m.ckpt", arrays)
    refused(
        index, tmp_path, "decoder/hierarchical_level_0/cell_1/lstm_cell/kernel: expected a tensor of shape [12, 28]"
    )
    flat = {"decoder/lstm/kernel": np.ones((3, 3), "<f4")}
    refused(write_bundle(tmp_path / "flat.ckpt", flat), tmp_path, "flat.ckpt.index: ", "hierdec-mel or hier-mel")
    swapped = random_weights(SMALL) | {BIAS: np.ones(130, "<f4")}
    refused(write_bundle(tmp_path / "s.ckpt", swapped), tmp_path, "output_projection/bias", "[90]", "[130]")
    odd = random_weights(SMALL) | {"core_decoder/decoder/multi_rnn_cell/cell_0/lstm_cell/bias": np.ones(21, "<f4")}
    refused(write_bundle(tmp_path / "odd.ckpt", odd), tmp_path, "cell_0/lstm_cell/bias", "21")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["48 to"]),
        (b"x" * 1000, ["magic number"]),
        (table([(b"", b"\x08\x01")])[:-48] + b"\xff" * 40 + bytes.fromhex("57fb808b247547db"), ["a number"]),
        (table([(b"encoder/mu/bias", b"\x08\x01")]), ["the header"]),
        (table([(b"", b"\x08\xff\xff\xff\xff\x0f")]), ["data files"]),
        (table([(b"", b"\x08\x01\x10\x01")]), ["byte order 1"]),
        (table([(b"", b"\x08\x01"), (b"a", b"\x12\xff\xff\xff\xff\xff\x7f")]), ["beyond its message"]),
        (table([(b"", b"\x08\x01"), (b"\xff\xfe", b"\x08\x01")]), ["sound entry"]),
    ],
)
def test_hostile_indexes(tmp_path: Path, content: bytes, words: list[str]) -> None:
    (tmp_path / "m.ckpt.index").write_bytes(content)
    refused(tmp_path / "m.ckpt.index", tmp_path, "m.ckpt.index", *words)


def test_a_packed_block_that_claims_gigabytes(tmp_path: Path) -> None:
    import google_crc32c

    from generator.musicvae.leveldb_table import MAGIC, masked_crc32c

    body = b"\xff\xff\xff\xff\x0f" + b"\x00" * 50 + b"\x01"
    stored = body + masked_crc32c(google_crc32c.value(body)).to_bytes(4, "little")
    footer = (b"\x00\x00" + b"\x00" + bytes([len(body) - 1])).ljust(40, b"\0") + MAGIC
    (tmp_path / "m.ckpt.index").write_bytes(stored + footer)
    refused(tmp_path / "m.ckpt.index", tmp_path, "m.ckpt.index", "packed block of 4294967295 bytes")


def test_neither_a_path_nor_a_name(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", tmp_path, "nothing", "hierdec-mel_16bar", "mel_16bar_small_q2")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "one .index file", "0 of them")
    with pytest.raises(CheckpointError, match="a name of letters"):
        import_checkpoint(str(tmp_path), tmp_path / "models", name="../outside")


# ---- tars


def test_names_in_a_tar_lead_nowhere(tmp_path: Path, bundle: tuple[Path, Path]) -> None:
    files = {path.name: path.read_bytes() for path in bundle}
    home = tmp_path / "home" / "deep"
    home.mkdir(parents=True)
    tar = write_tar(
        home / "evil.tar", {f"../../{name}.evil" if "data" in name else name: c for name, c in files.items()}
    )
    refused(tar, home, "evil.tar", "the data file")
    tar = write_tar(home / "far.tar", {f"/../../far/{name}": content for name, content in files.items()})
    take_in(tar, home)
    assert sorted(p.name for p in (tmp_path / "home").rglob("*") if p.is_file()) == [
        "evil.tar",
        "far.safetensors",
        "far.tar",
    ]


def test_links_in_a_tar_are_not_followed(tmp_path: Path) -> None:
    secret = write_bundle(tmp_path / "secret.ckpt", random_weights(SMALL))
    with tarfile.open(tmp_path / "l.tar", "w") as tar:
        for kind, name in ((tarfile.SYMTYPE, "m.index"), (tarfile.LNKTYPE, "n.index"), (tarfile.CHRTYPE, "o.index")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, str(secret)
            tar.addfile(member)
    refused(tmp_path / "l.tar", tmp_path, "l.tar", "ends in .index")


def test_hostile_tars(tmp_path: Path, bundle: tuple[Path, Path]) -> None:
    sound = tar_of(bundle[0], tmp_path / "sound.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(sound[: len(sound) // 2])
    refused(tmp_path / "cut.tar", tmp_path, "cut.tar")
    (tmp_path / "noise.tar").write_bytes(np.random.default_rng(0).bytes(5000))
    refused(tmp_path / "noise.tar", tmp_path, "noise.tar", "sound .tar")
    (tmp_path / "packed.tar").write_bytes(gzip.compress(b"\0" * 10_000_000))
    refused(tmp_path / "packed.tar", tmp_path, "packed.tar", "gunzip")
    write_tar(tmp_path / "many.tar", {f"file{k}": b"" for k in range(1001)})
    refused(tmp_path / "many.tar", tmp_path, "many.tar", "at most 1000 files")
    header = tarfile.TarInfo("m.index")
    header.size = 1 << 40
    (tmp_path / "huge.tar").write_bytes(header.tobuf() + b"\0" * 1024)
    refused(tmp_path / "huge.tar", tmp_path, "huge.tar", "at least 1099511629312 bytes", "cut off")
    header = tarfile.TarInfo("long name")
    header.type, header.size = tarfile.GNUTYPE_LONGNAME, 1 << 32
    (tmp_path / "name.tar").write_bytes(header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    refused(tmp_path / "name.tar", tmp_path, "name.tar", "a header of 4294967296 bytes")


# ---- TensorFlow.js


@pytest.mark.parametrize(
    "path", ["../secret", "/etc/hostname", "a/b", "..", "", "C:\\x", "a\\b", "x\0y", 7, None, "link"]
)
def test_a_manifest_that_points_elsewhere(tmp_path: Path, path: object) -> None:
    manifest = write_tfjs(tmp_path / "js", random_weights(SMALL_JS), cut=10**9)
    (tmp_path / "secret").write_bytes((tmp_path / "js" / "group1-shard1").read_bytes())
    (tmp_path / "js" / "link").symlink_to(tmp_path / "secret")
    groups = json.loads(manifest.read_text())
    groups[0]["paths"] = [path]
    manifest.write_text(json.dumps(groups))
    refused(manifest, tmp_path, "weights_manifest.json", "beside the manifest")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"shape": [8]}, ["bytes"]),
        ({"shape": [1 << 30, 1 << 30]}, ["cut off"]),
        ({"shape": [-1, 5]}, ["whole numbers"]),
        ({"shape": [True, 5]}, ["whole numbers"]),
        ({"shape": "all"}, ["whole numbers"]),
        ({"dtype": "string"}, ["one of the types"]),
        ({"dtype": "int32"}, ["float32", "int32"]),
        ({"quantization": {"dtype": "uint4"}}, ["one of the types"]),
        ({"quantization": {"dtype": "uint16"}}, ["bytes"]),
        ({"quantization": {"scale": "1"}}, ["scale and min"]),
        ({"quantization": {"min": float("inf")}}, ["scale and min"]),
        ({"quantization": 3}, ["one of the types"]),
        ({"name": 5}, ["a name"]),
        ({"name": "encoder/mu/bias"}, ["twice"]),
        ({"name": "encoder/mu/kernal"}, ["encoder/mu/kernel", "no such tensor"]),
    ],
)
def test_false_statements_in_a_manifest(tmp_path: Path, change: dict[str, Any], words: list[str]) -> None:
    manifest = write_tfjs(tmp_path / "js", random_weights(SMALL_JS), cut=10**9)
    groups = json.loads(manifest.read_text())
    next(weight for weight in groups[0]["weights"] if weight["name"] == KERNEL).update(change)
    manifest.write_text(json.dumps(groups))
    refused(manifest, tmp_path, *words)


@pytest.mark.parametrize("text", ["", "{", "3", "[3]", "[{}]", '[{"paths": [], "weights": 1}]', "[" * 100_000, "\xff"])
def test_a_manifest_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "js").mkdir()
    (tmp_path / "js" / "weights_manifest.json").write_bytes(text.encode("latin-1"))
    refused(tmp_path / "js", tmp_path, "weights_manifest.json: expected")


def test_shards_that_are_cut_off_too_long_or_missing(tmp_path: Path) -> None:
    manifest = write_tfjs(tmp_path / "js", random_weights(SMALL_JS))
    shard = max(manifest.parent.glob("group1-shard*"), key=lambda path: int(path.name.split("shard")[1]))
    content = shard.read_bytes()
    shard.write_bytes(content[:-1])
    refused(manifest, tmp_path, shard.name, "cut off")
    shard.write_bytes(content + b"\0")
    refused(manifest, tmp_path, shard.name, "bytes in all")
    shard.unlink()
    refused(manifest, tmp_path, shard.name, "expected a file, found none")


# ---- the written file


@pytest.fixture
def imported(tmp_path: Path) -> Path:
    return take_in(write_bundle(tmp_path / "m.ckpt", random_weights(SMALL)), tmp_path)


def broken(path: Path, *words: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        load_lstm(path)
    for word in (str(path), *words):
        assert word in str(caught.value)


def test_a_damaged_file_is_refused(imported: Path) -> None:
    content = imported.read_bytes()
    for cut in (0, 5, 100, len(content) - 1):
        imported.write_bytes(content[:cut])
        broken(imported, "a whole safetensors file")
    imported.write_bytes((1 << 62).to_bytes(8, "little") + content[8:])
    broken(imported, "a whole safetensors file")
    imported.unlink()
    broken(imported, "no such file")


def test_a_file_of_another_kind_is_refused(imported: Path) -> None:
    arrays, metadata = random_weights(SMALL), {"kind": "musicvae-lstm", "config": json.dumps(SMALL.as_dict())}
    save_file(arrays, imported)
    broken(imported, "musicvae-lstm")
    for config in ("{}", "[", "3", '{"encoder": [1e9]}', '{"z": 100000}', '{"x": 1}', '{"form": "trio"}', "[" * 99999):
        save_file(arrays, imported, metadata | {"config": config})
        broken(imported)
    save_file({**arrays, BIAS: np.ones(91, "<f4")}, imported, metadata)
    broken(imported, BIAS, "[90]", "[91]")
    save_file({name: array for name, array in arrays.items() if name != KERNEL}, imported, metadata)
    broken(imported, KERNEL, "no such tensor")
    save_file({**arrays, KERNEL: np.full((8, 3), np.inf, "<f4")}, imported, metadata)
    broken(imported, KERNEL, "finite numbers")
    save_file({**arrays, KERNEL: np.ones((8, 3), "<i4")}, imported, metadata)
    broken(imported, KERNEL, "floating-point numbers")


def test_an_older_model_stays_when_a_new_one_is_refused(tmp_path: Path, imported: Path) -> None:
    before = imported.read_bytes()
    write_bundle(tmp_path / "m.ckpt", random_weights(SMALL, 1), changes={KERNEL: {"checksum": 3}})
    with pytest.raises(CheckpointError, match="checksum"):
        take_in(tmp_path / "m.ckpt.index", tmp_path)
    assert imported.read_bytes() == before
    assert [path.name for path in imported.parent.iterdir()] == [imported.name]
