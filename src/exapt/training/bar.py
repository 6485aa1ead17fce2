"""A progress bar with rate and time left; plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from typing import Any

PAUSE = 30.0
"""Seconds between plain lines."""


class Bar:
    """Shows how far a run is, on standard error."""

    def __init__(
        self, total: int, done: int = 0, show: bool = True, what: str = "training", unit: str = "step"
    ) -> None:
        self.total, self.start, self.began, self.unit = total, done, time.perf_counter(), unit
        self._told = self.began
        self._show = show and total > done
        self._rich: Any = None
        if self._show and sys.stderr.isatty():
            self._rich, self._task = _rich_bar(total, done, what)

    def update(self, step: int, text: str = "") -> None:
        """Show a step."""
        if self._rich:
            self._rich.update(self._task, completed=step, **({"text": text} if text else {}))
        elif self._show and (time.perf_counter() - self._told > PAUSE or (step == self.total and text)):
            self._told = time.perf_counter()
            print(self.line(step, text), file=sys.stderr, flush=True)

    def line(self, step: int, text: str) -> str:
        """The plain line: step, figures, rate, time left."""
        rate = (step - self.start) / max(1e-9, time.perf_counter() - self.began)
        left = (self.total - step) / max(rate, 1e-9)
        pace = f"{rate:.2f} {self.unit}s/s  {int(left // 60)}:{int(left % 60):02d} left"
        return f"{self.unit} {step}/{self.total}  {text}  {pace}"

    def close(self) -> None:
        if self._rich:
            self._rich.stop()


def _rich_bar(total: int, done: int, what: str) -> tuple[Any, Any]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task(what, total=total, completed=done, text="")
    bar.start()
    return bar, task
