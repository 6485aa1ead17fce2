"""Finding test texts in a corpus: exapt against the decontamination code of lm-evaluation-harness, and datasketch.

    OMP_NUM_THREADS=1 python benchmarks/contamination.py [MEGABYTES]

Seconds are of processor time on one core. 2000 evaluation texts of 60 words are looked for in texts of Zipf words; 200
of them are planted whole in a record of the corpus, 5 % of the records hold a character that is not ASCII. Runs are of
13 words on all sides. The peers are optional: `lm_eval.decontamination.janitor.Janitor` (its Python code, or its C++
extension where that is built) from `pip install lm-eval` or the file named by JANITOR, and `pip install datasketch`.
Fails where exapt does not find exactly the planted examples, is slower than 20 MB/s, or not 3 times as fast as a peer
that is there.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from exapt.audits.overlap import overlap_texts
from exapt.audits.overlap.near import BANDS, ROWS, MinHash
from exapt.audits.overlap.words import normalised, text_blocks

N, EXAMPLES, PLANTED, LENGTH = 13, 2000, 200, 60
RATE, RATIO = 20.0, 3.0


def texts(megabytes: float, seed: int = 0) -> tuple[list[str], list[str]]:
    """Corpus and evaluation texts."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("etaoinshrdlucmfwypvbgkjqxz"))
    sizes = rng.integers(2, 11, 50_000)
    vocabulary = np.array(["".join(rng.choice(letters, size)) for size in sizes])

    def text(length: int) -> str:
        words = vocabulary[np.minimum(rng.zipf(1.15, length), len(vocabulary)) - 1]
        return (" ".join(words)).capitalize() + ", and so on."

    examples = [text(LENGTH) for _ in range(EXAMPLES)]
    corpus: list[str] = []
    size = 0
    while size < megabytes * 1e6:
        one = text(int(rng.integers(50, 500)))
        corpus.append(f"{one} Café." if rng.random() < 0.05 else one)
        size += len(corpus[-1])
    for example, record in zip(examples[:PLANTED], rng.choice(len(corpus), PLANTED, replace=False), strict=True):
        corpus[record] = f"{corpus[record]} {example.upper()} {text(30)}"
    return corpus, examples


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds of processor time and the result."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def janitor() -> Any:
    """The peer's class, or None."""
    path = os.environ.get("JANITOR")
    try:
        if path is None:
            from lm_eval.decontamination.janitor import Janitor

            return Janitor
        spec = importlib.util.spec_from_file_location("janitor", path)
        assert spec is not None and spec.loader is not None
        loaded = sys.modules["janitor"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded.Janitor
    except ImportError:
        return None


def by_janitor(kind: Any, corpus: list[str], examples: list[str]) -> set[int]:
    """Which examples share a run with the corpus, by the peer's own normalising and n-grams (as its
    `get_train_overlap` joins them)."""
    word_ngrams = sys.modules[kind.__module__].word_ngrams  # type: ignore[attr-defined]
    peer, lookup = kind(ngram_n=N), {}
    for i, example in enumerate(examples):
        for gram in word_ngrams(peer.normalize_string(example), N):
            lookup.setdefault(gram, []).append(i)
    found: set[int] = set()
    for text in corpus:
        for gram in word_ngrams(peer.normalize_string(text), N):
            if gram in lookup:
                found.update(lookup[gram])
    return found


def by_datasketch(corpus: list[str]) -> int:
    """MinHash signatures of 5-grams of words, as its documentation makes them."""
    from datasketch import MinHash as Peer

    count = 0
    for text in corpus:
        words = normalised(text).split()
        grams = {b" ".join(words[i : i + 5]) for i in range(len(words) - 4)}
        peer = Peer(num_perm=BANDS * ROWS)
        peer.update_batch(list(grams))
        count += 1
    return count


def signatures(corpus: list[str]) -> int:
    """The same by exapt: normalising, n-grams, MinHash and band keys."""
    matcher = MinHash(5)
    blocks = text_blocks(((text, False) for text in corpus), keep=0)
    return sum(len(matcher.keys(block)) for block in blocks)


def line(name: str, seconds: float, size: float, base: float, note: str) -> None:
    print(f"  {name:<44}{seconds:8.2f} s {size / seconds / 1e6:8.1f} MB/s {seconds / base:8.1f} x   {note}", flush=True)


def runs(corpus: list[str], examples: list[str], small: int) -> bool:
    """Exact runs: everything by exapt, a part of the corpus by the peer (it is slow), both per byte."""
    size = sum(len(text.encode()) for text in corpus)
    seconds, found = timed(lambda: overlap_texts(corpus, examples, n=N))
    hit = set(np.flatnonzero(found.longest > 0).tolist())
    line("exapt: runs of 13 words", seconds, size, seconds, f"{len(hit & set(range(PLANTED)))} of {PLANTED} planted")
    met = hit == set(range(PLANTED)) and size / seconds / 1e6 >= RATE
    kind = janitor()
    if kind is None:
        print("  lm-evaluation-harness is not installed: no ratio")
        return met
    part = corpus[:small]
    part_size = sum(len(text.encode()) for text in part)
    ours, again = timed(lambda: overlap_texts(part, examples, n=N))
    theirs, named = timed(lambda: by_janitor(kind, part, examples))
    agree = named == set(np.flatnonzero(again.longest > 0).tolist())
    line("  the same on a part of the corpus", ours, part_size, ours, "")
    line("lm-evaluation-harness janitor (Python), part", theirs, part_size, ours, "same" if agree else "NOT the same")
    return met and agree and theirs / ours >= RATIO


def near(corpus: list[str], small: int) -> bool:
    """MinHash signatures of 112 permutations."""
    part = corpus[:small]
    size = sum(len(text.encode()) for text in part)
    ours, _ = timed(lambda: signatures(part))
    line("exapt: MinHash of 5-grams (rensa)", ours, size, ours, "")
    try:
        theirs, _ = timed(lambda: by_datasketch(part))
    except ImportError:
        print("  datasketch is not installed: no ratio")
        return True
    line("datasketch MinHash of 5-grams", theirs, size, ours, "")
    return theirs / ours >= RATIO


def main(words: list[str]) -> int:
    """Exit code: 0 where every bar is met."""
    corpus, examples = texts(float(words[0]) if words else 22.0)
    print(f"{EXAMPLES} examples, {len(corpus)} records")
    met = [runs(corpus, examples, small=2000), near(corpus, small=2000)]
    print(
        f"  {'met' if all(met) else 'MISSED'}: {RATE:.0f} MB/s, the planted examples and no other, {RATIO:.0f} x a peer"
    )
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
