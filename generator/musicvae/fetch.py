"""Downloads a large file: with a progress bar, going on where it broke off, and never taking half for the whole."""

from __future__ import annotations

import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path

from generator.musicvae.errors import CheckpointError

TRIES = 5
WAIT = 1.0  # seconds before the second try; doubled for each one after
TIMEOUT = 30.0  # seconds without a byte
PIECE = 1 << 20


def fetch(url: str, path: Path, limit: int, progress: bool = True) -> None:
    """Download `url`, http or https, to `path`, of at most `limit` bytes.

    What has come stays in `path`.part after a break, and a later call goes on from there, unless the server's file is
    another by then. Raises CheckpointError where the server refuses, the file is too large, or the tries are used up.
    """
    if not url.startswith(("https://", "http://")):
        raise CheckpointError(url, "an address that begins with https:// or http://", "another")
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    problem = ""
    for count in range(TRIES):
        if count:
            time.sleep(WAIT * 2 ** (count - 1))
        try:
            if _go_on(url, part, limit, progress):
                os.replace(part, path)
                _tag_file(part).unlink(missing_ok=True)
                return
            problem = "the connection broke off"
        except urllib.error.HTTPError as error:
            if error.code < 500:
                raise CheckpointError(url, "a file", f"status {error.code} {error.reason}") from error
            problem = f"status {error.code}"
        except (OSError, http.client.HTTPException) as error:  # URLError and time-outs are OSErrors
            problem = str(getattr(error, "reason", "") or error)
    kept = part.stat().st_size if part.exists() else 0
    raise CheckpointError(
        url, f"a download in {TRIES} tries", f"{problem}; {kept} bytes are kept, run it again to go on"
    )


def _tag_file(part: Path) -> Path:
    """Keeps what the server calls this version of the file."""
    return part.with_name(part.name + ".tag")


def _go_on(url: str, part: Path, limit: int, progress: bool) -> bool:
    """One try. Returns whether the file is whole now."""
    tag = _tag_file(part)
    have = part.stat().st_size if part.exists() and tag.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "maeum"})  # noqa: S310 - the scheme is checked above
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag.read_text())  # another version is sent from its beginning
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)  # noqa: S310
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        tag.unlink(missing_ok=True)  # more is here than the file has: from the beginning next time
        return False
    with response:
        goes_on = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if goes_on and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise http.client.HTTPException("the server sent another part of the file than was asked for")
        have = have if goes_on else 0
        length = response.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise CheckpointError(url, "a file whose size the server tells", "no size")
        total = have + int(length)
        if total > limit:
            raise CheckpointError(url, f"at most {limit} bytes", f"{total}")
        tag.write_text(response.headers.get("ETag") or response.headers.get("Last-Modified") or "unknown")
        _receive(response, part, have, total, progress)
    return part.stat().st_size == total


def _receive(response: http.client.HTTPResponse, part: Path, have: int, total: int, progress: bool) -> None:
    from tqdm import tqdm

    with (
        part.open("ab" if have else "wb") as file,
        tqdm(total=total, initial=have, unit="B", unit_scale=True, desc=part.stem, disable=not progress) as bar,
    ):
        while piece := response.read(min(PIECE, total - have) or 1):
            file.write(piece)
            have += len(piece)
            bar.update(len(piece))
