"""The one error of everything that reads or writes checkpoints."""

from __future__ import annotations


class CheckpointError(Exception):
    """A checkpoint that cannot be used. The message names the file, the tensor if it is about one, what was expected
    and what was found.

    file, tensor, expected, found: the parts of the message.
    """

    def __init__(self, file: object, expected: str, found: str, tensor: str | None = None) -> None:
        self.file, self.tensor, self.expected, self.found = str(file), tensor, expected, found
        where = f"{file}: " if tensor is None else f"{file}: {_short(tensor)}: "
        super().__init__(f"{where}expected {expected}, found {found}")


def _short(name: str) -> str:
    """A tensor's name as a message can show it: printable, and no longer than a line."""
    shown = name if name.isprintable() else ascii(name)
    return shown if len(shown) <= 120 else shown[:117] + "..."
