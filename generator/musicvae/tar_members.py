"""Finds the files in a .tar without unpacking it, however hostile it is."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from generator.musicvae.errors import CheckpointError
from generator.musicvae.stretch import Stretch

MAX_MEMBERS = 1000
MAX_HEADER = 1 << 20  # bytes


class _Careful(io.FileIO):
    """A file of which nobody reads more than a header's worth at once: a tar's headers may claim any size."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size) or b""


def tar_members(path: Path) -> dict[str, Stretch]:
    """Where the plain files in a tar lie. Names are only looked up, never used as paths."""
    size = path.stat().st_size
    if path.open("rb").read(2) == b"\x1f\x8b":
        raise CheckpointError(path.name, "a .tar that is not compressed", "gzip: unpack it with gunzip first")
    members: dict[str, Stretch] = {}
    try:
        with _Careful(path, "rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for count, member in enumerate(tar):
                if count >= MAX_MEMBERS:
                    raise CheckpointError(path.name, f"at most {MAX_MEMBERS} files in the tar", "more")
                if not member.isreg() or member.issparse():
                    continue
                if member.offset_data + member.size > size:
                    found = f"{size}: the file is cut off"
                    where = f"{path.name}/{member.name}"
                    raise CheckpointError(where, f"a tar of at least {member.offset_data + member.size} bytes", found)
                part = (path, member.offset_data, member.size)
                members.setdefault(member.name, Stretch(f"{path.name}/{member.name}", [part]))
    except (tarfile.TarError, ValueError, OSError) as error:
        raise CheckpointError(
            path.name, "a TensorFlow checkpoint (.index) or a sound .tar of one", str(error)
        ) from error
    return members
