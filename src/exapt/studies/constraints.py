"""What new sequences must hold to: a template, fixed places, lengths, and what may not stand in them.

Shapes: n ids of a text without ends, V token ids, b texts asked about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from exapt.domains.base import Source
from exapt.domains.dna import DnaDomain
from exapt.domains.protein import ProteinDomain
from exapt.domains.text import TextDomain
from exapt.domains.tokens import PLAIN, SPECIAL, TokenDomain
from exapt.errors import InputError

RANGE = re.compile(r"(\d+)(?:(-)(\d*))?")


@dataclass(frozen=True)
class Constraints:
    """As a user says them; `Bound` is what they come to for a checkpoint."""

    start: str = ""
    """Every text begins so."""
    template: str | None = None
    """A sequence, or a file of some, whose free places are written anew."""
    fixed: str = ""
    """Places of the template that stay, counted from 1: '1-10,25,40-'."""
    length: str = ""
    """Tokens to write: '80', or '60-120'."""
    avoid: tuple[str, ...] = ()
    """Letters or runs of letters that may not stand at free places."""


@dataclass(frozen=True)
class Bound:
    """Constraints in a domain's ids."""

    domain: TokenDomain
    start: np.ndarray
    templates: Sequence[np.ndarray]
    """(n,) each; empty where there is no template."""
    fixed: np.ndarray
    """Places, from 0, that stay in every template."""
    shortest: int
    longest: int
    barred: np.ndarray
    """Ids that may not be drawn."""
    avoid: tuple[str, ...]
    """What may not stand in a text."""
    motifs: tuple[np.ndarray, ...]
    """Runs of two ids or more that may not be written, where a letter is a token."""

    def template(self, number: int) -> np.ndarray | None:
        """The template of a text: they take turns."""
        return self.templates[number % len(self.templates)] if self.templates else None

    def holds(self, text: str) -> bool:
        """Whether something to avoid stands in a text, beyond what was given: its start, or fixed places."""
        given = set(self.fixed.tolist()) if self.templates else set(range(len(self.domain.decode(self.start))))
        for run in self.avoid:
            at = text.find(run)
            while at >= 0:
                if not given.issuperset(range(at, at + len(run))):
                    return True
                at = text.find(run, at + 1)
        return False

    def free(self, length: int) -> np.ndarray:
        """The places, from 0, of a text of this length that are drawn."""
        given = self.fixed if self.templates else np.arange(len(self.start))
        return np.setdiff1d(np.arange(length), given)


def bind(wanted: Constraints, domain: TokenDomain, needs_length: bool) -> Bound:
    """Check constraints against a domain; raises `InputError` that names the option and what would be valid."""
    if wanted.template is not None and wanted.start:
        raise InputError("--start with --template; give one: a template's beginning stays with --fixed")
    templates = _templates(wanted.template, domain) if wanted.template is not None else []
    fixed = _fixed(wanted, domain, templates)
    start = domain.encode(wanted.start) if wanted.start else np.zeros(0, dtype=np.int64)
    _known(start, "--start")
    shortest, longest = _lengths(wanted, domain, templates, len(start), needs_length)
    barred = _barred(wanted.avoid, domain)
    return Bound(domain, start, templates, fixed, shortest, longest, barred, wanted.avoid, _motifs(wanted, domain))


def spelled(domain: TokenDomain) -> bool:
    """Whether every token is one letter, so that places can be counted."""
    if isinstance(domain, TextDomain | DnaDomain):
        return domain.spec.tokens in ("characters", "base")
    return isinstance(domain, ProteinDomain)


def _templates(given: str, domain: TokenDomain) -> list[np.ndarray]:
    if Path(given).suffix and not Path(given).exists() and re.search(r"[./\\]", given) and " " not in given:
        raise InputError(f"--template {given}: no such file; give a sequence, or a file of them")
    if Path(given).is_file() if len(given) < 256 else False:
        dataset = domain.read(Source(path=given))
        found = [np.asarray(dataset.store[int(row)], dtype=np.int64) for row in dataset.rows]
    else:
        found = [domain.encode(given)]
    for number, ids in enumerate(found, 1):
        if not len(ids) or len(ids) > domain.room:
            raise InputError(
                f"--template: sequence {number} has {len(ids)} tokens; valid: 1 to {domain.room}, its length"
            )
        _known(ids, f"--template: sequence {number}")
    return found


def _known(ids: np.ndarray, what: str) -> None:
    unknown = np.flatnonzero(ids == SPECIAL["unknown"])
    if len(unknown):
        raise InputError(f"{what}: token {unknown[0] + 1} is none that the checkpoint knows; replace or remove it")


def _fixed(wanted: Constraints, domain: TokenDomain, templates: Sequence[np.ndarray]) -> np.ndarray:
    if not wanted.fixed:
        return np.zeros(0, dtype=np.int64)
    if not templates:
        raise InputError(f"--fixed {wanted.fixed}: needs a template, whose letters stay at these places: --template")
    if not spelled(domain):
        raise InputError(f"--fixed: a token here is a {domain.element}, not a letter, so places cannot be counted")
    least = min(len(ids) for ids in templates)
    places = places_of(wanted.fixed, least)
    if len(places) == max(len(ids) for ids in templates):
        raise InputError(f"--fixed {wanted.fixed}: leaves none of the template's {least} places free; fix fewer")
    return places


def places_of(ranges: str, length: int) -> np.ndarray:
    """Places from 0, sorted, of ranges such as '1-10,25,40-' that count from 1; raises `InputError` beyond `length`."""
    found: set[int] = set()
    for part in ranges.replace(" ", "").split(","):
        match = RANGE.fullmatch(part)
        if match is None:
            raise InputError(f"--fixed: '{part}' is no place or range; valid: 1-10,25,40- (counted from 1)")
        first, dash, last = int(match[1]), match[2], match[3]
        stop = int(last) if last else length if dash else first
        if not 1 <= first <= stop <= length:
            raise InputError(f"--fixed: {part} does not lie in the template; valid: places 1 to {length}")
        found.update(range(first - 1, stop))
    return np.array(sorted(found), dtype=np.int64)


def _lengths(
    wanted: Constraints, domain: TokenDomain, templates: Sequence[np.ndarray], start: int, needed: bool
) -> tuple[int, int]:
    if templates:
        if wanted.length:
            raise InputError("--length with --template; a template's length stays: leave --length out")
        return 1, domain.room
    if not wanted.length:
        if needed:
            raise InputError("a masked checkpoint writes into given places; say how many: --length 80, or --template")
        return start + 1 if domain.ends else domain.room, domain.room
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", wanted.length.replace(" ", ""))
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not start < low <= high <= domain.room:
        more = f" (--start has {start})" if start else ""
        raise InputError(f"--length {wanted.length}; valid: {start + 1} to {domain.room} tokens, as 80 or 60-120{more}")
    return low, high


def _barred(avoid: Sequence[str], domain: TokenDomain) -> np.ndarray:
    """Ids whose own letters hold something to avoid."""
    if not avoid:
        return np.zeros(0, dtype=np.int64)
    words = [domain.decode(np.array([token])) for token in range(domain.inputs.vocabulary)]
    signs = set("".join(words[PLAIN:]))
    for run in avoid:
        if not run or not set(run) <= signs:
            raise InputError(f"--avoid '{run}': not letters of this checkpoint; valid: {''.join(sorted(signs))[:80]}")
    barred = [i for i in range(PLAIN, len(words)) if any(run in words[i] for run in avoid)]
    if len(barred) == len(words) - PLAIN:
        raise InputError(f"--avoid {', '.join(avoid)}: leaves no token to write; avoid less")
    return np.array(barred, dtype=np.int64)


def _motifs(wanted: Constraints, domain: TokenDomain) -> tuple[np.ndarray, ...]:
    return tuple(domain.encode(run) for run in wanted.avoid if len(run) > 1) if spelled(domain) else ()


class Letters:
    """Lets an autoregressive network write within `Bound`: a `Guide` for texts that begin after the prompt.

    Fixed letters are written in their places, which the network sees only once it has passed them.
    """

    def __init__(self, bound: Bound, first: int, count: int) -> None:
        self.bound, self.motifs = bound, [motif.tolist() for motif in bound.motifs]
        self.texts = [bound.start.tolist() for _ in range(count)]
        self.templates = [bound.template(first + b) for b in range(count)]
        self.fixed = set(bound.fixed.tolist())

    def allowed(self, rows: Tensor) -> Tensor:
        """(b, V) whether each text of `rows` (b,) may take each id."""
        out = torch.zeros(len(rows), self.bound.domain.inputs.vocabulary, dtype=torch.bool)
        out[:, PLAIN:] = True
        out[:, torch.from_numpy(self.bound.barred)] = False
        for at, row in enumerate(rows.tolist()):
            self._narrow(out[at], self.texts[row], self.templates[row])
        return out

    def _narrow(self, allowed: Tensor, text: list[int], template: np.ndarray | None) -> None:
        place, longest = len(text), self.bound.longest if template is None else len(template)
        if place >= longest or (template is not None and place in self.fixed):
            allowed[:] = False
            allowed[SPECIAL["end"] if place >= longest or template is None else int(template[place])] = True
            return
        for motif in self.motifs:
            if text[len(text) - len(motif) + 1 :] == motif[:-1] and len(text) >= len(motif) - 1:
                allowed[motif[-1]] = False
        shortest = self.bound.shortest if template is None else longest
        allowed[SPECIAL["end"]] = self.bound.domain.ends and place >= shortest
        if not allowed.any():  # every letter would complete a run to avoid: written, and refused afterwards
            allowed[PLAIN:] = True

    def take(self, rows: Tensor, ids: Tensor) -> None:
        """Let each text of `rows` (b,) take its id of `ids` (b,)."""
        for row, token in zip(rows.tolist(), ids.tolist(), strict=True):
            self.texts[row].append(token)
