"""What DNA and protein share: an alphabet, letters that count as unknown, and letters that are refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from exapt.domains.pieces import Letters, Piece
from exapt.domains.text import as_texts
from exapt.errors import InputError

ILLEGAL = 255
GAPS = "-."


@dataclass(frozen=True)
class Alphabet:
    """Letters and their codes; either case counts."""

    letters: str
    """The letters with codes 0, 1, …."""
    unknown: str
    """Letters that all get the code `len(letters)`."""
    same: dict[str, str] = field(default_factory=dict)
    """Other spellings of letters."""
    foreign: dict[str, str] = field(default_factory=dict)
    """Letters of another alphabet, and what to say of one that stands here."""

    @property
    def table(self) -> np.ndarray:
        """(256,) the code of each byte."""
        table = np.full(256, ILLEGAL, dtype=np.uint8)
        codes = {letter: code for code, letter in enumerate(self.letters)}
        codes |= dict.fromkeys(self.unknown, len(self.letters))
        codes |= {other: codes[letter] for other, letter in self.same.items()}
        for letter, code in codes.items():
            table[ord(letter)] = table[ord(letter.lower())] = code
        return table

    def encode(self, piece: Piece) -> tuple[np.ndarray, np.ndarray]:
        """Codes (N,) uint8 and lengths (n,); raises `InputError` naming file, record, place and letter."""
        texts = None if isinstance(piece.values, Letters) else [text.strip() for text in as_texts(piece)]
        letters = piece.values if isinstance(piece.values, Letters) else Letters.of(texts or [])
        codes = self.table[letters.codes]
        if (codes == ILLEGAL).any():
            self._refuse(piece, letters, texts, int((codes == ILLEGAL).argmax()))
        return codes, letters.lengths

    def _refuse(self, piece: Piece, letters: Letters, texts: list[str] | None, at: int) -> None:
        stops = letters.lengths.cumsum()
        record = int(np.searchsorted(stops, at, side="right"))
        place = at - int(stops[record] - letters.lengths[record])
        letter = texts[record][place] if texts is not None else chr(letters.codes[at])
        other = next((said for signs, said in self.foreign.items() if letter.upper() in signs), "")
        hint = "an alignment's gap; take the gaps out" if letter in GAPS else other or "not a letter of this alphabet"
        raise InputError(
            f"{piece.where(record)}: position {place + 1}: {letter!r} is {hint}; "
            f"valid: {self.letters}{''.join(self.same)}, and {self.unknown} (counted as unknown)"
        )
