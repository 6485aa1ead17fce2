"""`metrics.jsonl`: one line a look at the run, the same file whether or not the run was interrupted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from exapt.errors import InputError
from exapt.files import jsonable, write_text
from exapt.training.weights import room_for

TIMING = ("seconds", "elements_per_second")
"""Keys that differ between an interrupted run and one that was not."""


class MetricsLog:
    """Appends lines to a file (and TensorBoard); on resuming, drops those beyond the checkpoint first."""

    def __init__(self, folder: Path | None, step: int = 0, tensorboard: bool = False) -> None:
        self.path = None if folder is None else Path(folder) / "metrics.jsonl"
        self.history = self._rewind(step)
        self._board = _board(folder, step) if tensorboard and folder else None

    def write(self, line: Mapping[str, Any]) -> None:
        """Keep one line, at once on disk; a full disk raises `InputError`."""
        plain = jsonable(dict(line))
        self.history.append(plain)
        if self.path:
            with room_for(self.path), open(self.path, "a", encoding="utf-8") as file:
                file.write(json.dumps(plain) + "\n")
        if self._board:
            for name, value in plain.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, plain["step"])

    def close(self) -> None:
        if self._board:
            self._board.close()

    def _rewind(self, step: int) -> list[dict[str, Any]]:
        """The lines up to a step; the rest, and a last line cut short by a kill, leave the file."""
        if self.path is None or not self.path.exists():
            return []
        kept = [line for line in read_metrics(self.path) if line["step"] <= step]
        with room_for(self.path):
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        return kept


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Every whole line of a metrics file."""
    lines = []
    for text in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:
            break
    return lines


def _board(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError("tensorboard: true needs the package tensorboard; pip install 'exapt[track]'") from None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)
