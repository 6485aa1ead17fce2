"""Hard negatives: the positives themselves, their bases in another order with the same pairs of neighbours.

A network that tells these apart has learnt more than composition: every base and every pair of neighbours is as common
in a shuffled copy as in its original. Altschul & Erickson 1985 (Mol. Biol. Evol. 2:526), with the uniform choice of
Kandel et al. 1996: a sequence is a walk over its bases that takes every pair once, and so is every shuffled copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from exapt.domains.base import Dataset, Source
from exapt.domains.labels import word
from exapt.domains.stores import TokenStore
from exapt.errors import InputError

SHUFFLED = "shuffled:"
"""What a path begins with to ask for positives and their shuffled copies."""
PAIR = "pair"
"""The column that names an original and its copy alike, so that no split parts them."""


def dinucleotide_shuffle(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(n,) the letters in another order with exactly the same pairs of neighbours, first and last letter in place.

    All such orders are equally likely.
    """
    codes = np.asarray(codes)
    if len(codes) < 4:
        return codes.copy()
    followers = {int(a): codes[1:][codes[:-1] == a] for a in np.unique(codes[:-1])}
    last = _last_steps(followers, int(codes[-1]), rng)
    waiting = {a: _shuffled(b, last.get(a), rng) for a, b in followers.items()}
    taken = dict.fromkeys(waiting, 0)
    out = np.empty_like(codes)
    here = out[0] = codes[0]
    for place in range(1, len(codes)):
        at = int(here)
        here = out[place] = waiting[at][taken[at]]
        taken[at] += 1
    return out


def _last_steps(followers: Mapping[int, np.ndarray], end: int, rng: np.random.Generator) -> dict[int, int]:
    """The last step out of every letter but the end: drawn until all of them lead to the end, so that a walk that
    keeps them for last takes every pair."""
    while True:
        drawn = {a: int(rng.choice(b)) for a, b in followers.items() if a != end}
        if all(_arrives(a, drawn, end) for a in drawn):
            return drawn


def _arrives(letter: int, steps: Mapping[int, int], end: int) -> bool:
    for _ in range(len(steps) + 1):
        if letter == end:
            return True
        letter = steps[letter]
    return False


def _shuffled(letters: np.ndarray, last: int | None, rng: np.random.Generator) -> np.ndarray:
    """The letters in random order, `last` at the end."""
    if last is None:
        return rng.permutation(letters)
    rest = np.delete(letters, int(np.flatnonzero(letters == last)[0]))
    return np.append(rng.permutation(rest), np.asarray(last, letters.dtype))


def with_shuffled(
    read: Callable[[Source], Dataset],
    source: Source,
    codes: Callable[[np.ndarray], np.ndarray],
    encode: Callable[[np.ndarray], np.ndarray],
) -> Dataset:
    """The positives of a source and a shuffled copy of each, in turns; other records are left out.

    Positive is the last class of the label's, as numbers or by the alphabet; without a label every record is. `codes`
    gives the bases of a record's ids, `encode` the ids of bases. A record's copy depends on nothing but its bases.
    """
    whole = read(source.model_copy(update={"path": source.path.removeprefix(SHUFFLED), "limit": None}))
    positives, classes = _positives(whole)
    positives = positives.subset(np.arange(len(positives))[: source.limit])
    rows: list[np.ndarray] = []
    for row in positives.rows:
        ids = positives.store[int(row)]
        rows += [ids, encode(dinucleotide_shuffle(codes(ids), _generator(codes(ids)))).astype(ids.dtype)]
    store = TokenStore(np.concatenate(rows), np.array([len(row) for row in rows]))
    return replace(_columns(positives, classes), store=store, rows=np.arange(len(rows)), source=source.path)


def _positives(dataset: Dataset) -> tuple[Dataset, tuple[str, str]]:
    """The positives, and the classes of an original and of its copy."""
    names = dataset.roles.get("label", ())
    if not names:
        return dataset, ("1", "0")
    said = [word(value) for value in dataset.column(names[0])]
    classes = sorted({w for w in said if w is not None}, key=_order)
    if len(names) > 1 or not 1 <= len(classes) <= 2:
        raise InputError(
            f"{SHUFFLED}{dataset.source}: shuffled copies need a label of one class or two, and it has {len(classes)}"
        )
    other = classes[0] if len(classes) == 2 else "0" if classes[0] != "0" else "shuffled"
    return dataset.subset([at for at, w in enumerate(said) if w == classes[-1]]), (classes[-1], other)


def _order(said: str) -> tuple[int, float, str]:
    try:
        return 0, float(said), said
    except ValueError:
        return 1, 0.0, said


def _columns(positives: Dataset, classes: tuple[str, str]) -> Dataset:
    """Every record twice; the label of the second is the shuffled one's, and both are of one group."""
    columns = {name: np.repeat(column, 2) for name, column in positives.columns.items()}
    (label,) = positives.roles.get("label", ()) or ("label",)
    columns[label] = np.array(classes * len(positives))
    roles = {**positives.roles, "label": (label,)}
    if not roles.get("group"):
        columns[PAIR] = np.repeat(np.arange(len(positives)), 2)
        roles["group"] = (PAIR,)
    return replace(positives, columns=columns, roles=roles)


def _generator(codes: np.ndarray) -> np.random.Generator:
    plain = np.ascontiguousarray(codes, dtype=np.uint8).tobytes()
    return np.random.default_rng(int.from_bytes(hashlib.blake2b(plain, digest_size=16).digest(), "little"))
