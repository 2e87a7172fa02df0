"""Downloads from a server that breaks off, changes its files, refuses or lies. The server runs on this machine."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from generator.musicvae import fetch as fetching
from generator.musicvae.errors import CheckpointError
from generator.musicvae.fetch import fetch
from generator.musicvae.importer import OFFICIAL, Official, import_checkpoint
from tests.checkpoint_files import SMALL, SMALL_JS, random_weights, write_bundle, write_tar, write_tfjs

CONTENT = np.random.default_rng(0).bytes(3_000_000)


@dataclass
class Server:
    """files: path -> content; breaks: bytes after which each coming answer breaks off; statuses: sent instead of each
    coming answer; ranges: whether it knows them. asked: (path, Range) of each request."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tag: str = '"one"'
    breaks: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range")
            state.asked.append((self.path, wanted))
            if state.statuses:
                self.send_error(state.statuses.pop(0))
                return
            if self.path not in state.files:
                self.send_error(404)
                return
            content, first = state.files[self.path], 0
            if wanted and state.ranges and self.headers.get("If-Range") == state.tag:
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if first >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
            else:
                self.send_response(200)
            self.send_header("ETag", state.tag)
            self.send_header("Content-Length", str(len(content) - first))
            self.end_headers()
            last = first + state.breaks.pop(0) if state.breaks else len(content)
            self.wfile.write(content[first:last])
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            pass

    monkeypatch.setattr(fetching, "WAIT", 0.0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        state.url = f"http://127.0.0.1:{running.server_port}"
        state.files["/file"] = CONTENT
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield state
        running.shutdown()


def get(server: Server, folder: Path, limit: int = 10_000_000) -> Path:
    fetch(f"{server.url}/file", folder / "file", limit, progress=False)
    assert [path.name for path in folder.iterdir()] == ["file"]  # nothing half stays beside it
    return folder / "file"


def test_a_whole_file(server: Server, tmp_path: Path) -> None:
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked == [("/file", None)]


def test_the_progress_bar_tells_how_much_has_come(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fetch(f"{server.url}/file", tmp_path / "file", 10_000_000)
    assert "3.00M/3.00M" in capsys.readouterr().err


def test_breaks_are_gone_on_from(server: Server, tmp_path: Path) -> None:
    server.breaks = [1_000_000, 0, 500_001]
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert [wanted for _, wanted in server.asked] == [None, "bytes=1000000-", "bytes=1000000-", "bytes=1500001-"]


def test_a_later_call_goes_on(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "TRIES", 1)
    server.breaks = [1_234_567]
    with pytest.raises(CheckpointError, match="1234567 bytes are kept"):
        get(server, tmp_path)
    assert not (tmp_path / "file").exists()
    assert get(server, tmp_path).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file", "bytes=1234567-")


def test_a_file_that_changed_meanwhile_comes_anew(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TRIES", 1)
    server.breaks = [1_000_000]
    with pytest.raises(CheckpointError):
        get(server, tmp_path)
    server.tag, server.files["/file"] = '"two"', CONTENT[::-1]
    assert get(server, tmp_path).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges(server: Server, tmp_path: Path) -> None:
    server.ranges, server.breaks = False, [1_000_000]
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_more_here_than_the_file_has(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file.part").write_bytes(b"x" * 4_000_000)
    (tmp_path / "file.part.tag").write_text(server.tag)
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_a_passing_fault_of_the_server(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 500]
    assert get(server, tmp_path).read_bytes() == CONTENT


def test_refusals(server: Server, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="expected at most 2000000 bytes, found 3000000"):
        get(server, tmp_path, limit=2_000_000)
    with pytest.raises(CheckpointError, match="status 404"):
        fetch(f"{server.url}/none", tmp_path / "none", 100, progress=False)
    with pytest.raises(CheckpointError, match="https://"):
        fetch("file:///etc/hostname", tmp_path / "x", 100, progress=False)
    server.statuses = [500] * 9
    with pytest.raises(CheckpointError, match=r"in 5 tries, found status 500; 0 bytes are kept"):
        get(server, tmp_path)
    assert not any(tmp_path.iterdir())


def test_nobody_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "WAIT", 0.0)
    with pytest.raises(CheckpointError, match="refused"):
        fetch("http://127.0.0.1:9/file", tmp_path / "file", 100, progress=False)


def test_an_official_tar(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = random_weights(SMALL)
    index = write_bundle(tmp_path / "made" / "hierdec.ckpt", arrays)
    tar = write_tar(tmp_path / "m.tar", {path.name: path.read_bytes() for path in index.parent.iterdir()})
    server.files["/m.tar"] = tar.read_bytes()
    server.breaks = [10_000, 5_000]
    monkeypatch.setitem(OFFICIAL, "hierdec-mel_16bar", Official(f"{server.url}/m.tar", 10_000_000))
    path = import_checkpoint("hierdec-mel_16bar", tmp_path / "models", progress=False)
    assert path == tmp_path / "models" / "hierdec-mel_16bar.safetensors"
    for name, array in load_file(path).items():
        np.testing.assert_array_equal(array, arrays[name])
    assert [file for file in (tmp_path / "models").rglob("*") if file.is_file()] == [path]


def test_an_official_javascript_model(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = random_weights(SMALL_JS)
    made = write_tfjs(tmp_path / "js", arrays, "uint16", cut=5000).parent
    server.files |= {f"/js/{path.name}": path.read_bytes() for path in made.iterdir()}
    server.breaks = [100, 100]
    monkeypatch.setitem(OFFICIAL, "mel_16bar_small_q2", Official(f"{server.url}/js/", 10_000_000))
    path = import_checkpoint("mel_16bar_small_q2", tmp_path / "models", progress=False)
    for name, array in load_file(path).items():
        np.testing.assert_allclose(array, arrays[name], atol=1e-4)


def test_an_official_file_that_is_damaged_does_not_stay(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OFFICIAL, "hierdec-mel_16bar", Official(f"{server.url}/file", 10_000_000))
    with pytest.raises(CheckpointError, match="tar"):
        import_checkpoint("hierdec-mel_16bar", tmp_path / "models", progress=False)
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == []


def test_official_addresses_are_magentas_own() -> None:
    for official in OFFICIAL.values():
        assert official.url.startswith("https://storage.googleapis.com/magentadata/")
