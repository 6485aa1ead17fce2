"""The one error a user's mistake raises: a single line that says what was wrong and what would be valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in a file, key or value. The message is one line: where, what was found, what would be valid."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class DivergenceError(RuntimeError):
    """Training met a loss that is not finite, or that ran away; the last good checkpoint is kept."""


def nearest(word: str, valid: Iterable[str]) -> str:
    """A phrase naming the valid words, the closest first: `did you mean 'steps'? Valid: …`."""
    options = sorted(valid)
    close = difflib.get_close_matches(word, options, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}valid: {', '.join(options) or 'none'}"
