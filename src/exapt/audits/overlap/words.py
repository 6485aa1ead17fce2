"""Text as words: NFKC, lower case, no punctuation, no tags; hashed eight bytes at a time without a loop over words.

Text in ASCII goes through a byte table. Any other goes through Unicode first and then the same way, so that a word has
one hash whichever way it came. In scripts without spaces every character is a word.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator

import numpy as np

from exapt.audits.overlap.blocks import Block
from exapt.domains.hashing import MULTIPLIER, mix

BYTES = 1 << 22
"""Text looked at together."""
TAG = re.compile(r"</?[A-Za-z!][^<>]{0,200}>")
APOSTROPHES = "'\u2018\u2019\u02bc\uff07`"
"""Left out, so that don't, don’t and dont are one word."""
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Thai, Lao, Burmese, Khmer, Japanese and Chinese."""
FOREIGN = re.compile(r"[^\x00-\x7f]")
SPACE = 32
LONG = 256
"""A longer word is hashed by itself."""


class _Kept(dict[int, int | None]):
    """What becomes of a character, looked up once: letters, marks and digits stay, all else is a space."""

    def __missing__(self, code: int) -> int | None:
        char = chr(code)
        kept = None if char in APOSTROPHES else code if unicodedata.category(char)[0] in "LMN" else SPACE
        self[code] = kept
        return kept


KEPT = _Kept()
TABLE = bytes(b if b >= 128 else ord(chr(KEPT[b] or SPACE).lower()) for b in range(256))
DROPPED = bytes(ord(c) for c in APOSTROPHES if ord(c) < 128)


def normalised(text: str) -> bytes:
    """UTF-8 of a text's words, with spaces (one or more) between them."""
    if "<" in text:
        text = TAG.sub(" ", text)
    if text.isascii():
        return text.encode("ascii").translate(TABLE, DROPPED)
    text = unicodedata.normalize("NFKC", text).lower()
    for char in set(FOREIGN.findall(text)):
        kept = KEPT[ord(char)]
        if kept != ord(char):
            text = text.replace(char, " " if kept else "")
        elif UNSPACED.match(char):
            text = text.replace(char, f" {char} ")
    return text.encode("utf-8", "surrogatepass").translate(TABLE, DROPPED)


def words(text: str) -> list[str]:
    """A text's words, as they are compared."""
    return normalised(text).decode("utf-8", "surrogatepass").split()


def word_edges(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Where each word of normalised text begins and ends."""
    inner = np.frombuffer(b" " + data + b" ", dtype=np.uint8) != SPACE
    edges = np.flatnonzero(inner[1:] != inner[:-1])
    return edges[::2], edges[1::2]


def word_hashes(data: bytes, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
    """(W,) uint64 hashes of words [start, stop) of some bytes."""
    padded = data + bytes(8)
    eights = np.ndarray(len(data) + 1, dtype="<u8", buffer=padded, strides=(1,))
    length = stop - start
    hashes = (eights[start] & MASKS[np.minimum(length, 8)]) * MULTIPLIER
    hashes += length.astype(np.uint64)
    longer = np.flatnonzero(length > 8)
    for done in range(8, LONG, 8):
        if not len(longer):
            break
        part = eights[start[longer] + done] & MASKS[np.minimum(length[longer] - done, 8)]
        hashes[longer] = mix(hashes[longer]) * MULTIPLIER + part
        longer = longer[length[longer] > done + 8]
    for word in longer.tolist():
        digest = hashlib.blake2b(data[start[word] : stop[word]], digest_size=8).digest()
        hashes[word] = np.frombuffer(digest, dtype="<u8")[0]
    return mix(hashes)


MASKS = np.array([(1 << (8 * k)) - 1 for k in range(9)], dtype=np.uint64)
"""The lowest k bytes of eight."""


def text_block(documents: list[bytes], first: int = 0, place: int = 0) -> Block:
    """Normalised documents as one block of words."""
    data = b" ".join(documents)
    start, stop = word_edges(data)
    begins = np.cumsum([0, *(len(d) + 1 for d in documents)])
    offsets = np.searchsorted(start, begins)

    def spell(a: int, b: int) -> bytes:
        return b" ".join(data[start[a] : stop[b - 1]].split()) if b > a else b""

    return Block(word_hashes(data, start, stop), offsets, spell, first, place)


def text_blocks(pieces: Iterable[tuple[str, bool]], keep: int, size: int = BYTES) -> Iterator[Block]:
    """Texts in blocks of about `size` bytes.

    A piece marked True carries on the text before it (the cut must stand between words). Where a text goes on in the
    next block, its last `keep` words are repeated there.
    """
    documents: list[bytes] = []
    held = first = place = number = 0
    tail: tuple[bytes, int] = (b"", 0)
    for text, goes_on in _cut(pieces, size):
        data = normalised(text)
        if goes_on and documents:
            documents[-1] += b" " + data
        elif goes_on:
            documents, first, place = [tail[0] + b" " + data], number - 1, tail[1]
        else:
            first, place = (first, place) if documents else (number, 0)
            documents.append(data)
            number += 1
        held += len(data)
        if held >= size:
            block = text_block(documents, first, place)
            tail = _tail(documents, block, keep)
            yield block
            documents, held = [], 0
    if documents:
        yield text_block(documents, first, place)


def _cut(pieces: Iterable[tuple[str, bool]], size: int) -> Iterator[tuple[str, bool]]:
    """The same pieces, none much longer than `size` characters; cuts fall on white space."""
    for text, goes_on in pieces:
        start = 0
        while len(text) - start > 2 * size:
            gap = re.compile(r"\s").search(text, start + size)
            if gap is None:
                break
            yield text[start : gap.start()], goes_on or start > 0
            start = gap.end()
        yield text[start:], goes_on or start > 0


def _tail(documents: list[bytes], block: Block, keep: int) -> tuple[bytes, int]:
    """The last words of the last document, and how many words of it stand before them."""
    begin, end = int(block.offsets[-2]), int(block.offsets[-1])
    kept = min(keep, end - begin)
    before = end - begin - kept + (block.place if len(documents) == 1 else 0)
    return block.spell(end - kept, end), before
