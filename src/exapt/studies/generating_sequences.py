"""`exapt generate` for texts, DNA and proteins: files, figures and judges of what `design` draws."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from exapt.domains.text import TextDomain
from exapt.domains.tokens import TokenDomain
from exapt.errors import InputError
from exapt.files import atomic, write_json
from exapt.objectives.autoregressive import Autoregressive
from exapt.objectives.masked import MaskedTokens
from exapt.studies.constraints import Constraints, bind
from exapt.studies.designing import Designs, Drawing, design, mean_of, read_corpus
from exapt.studies.filters import Drawn, Filters, spread
from exapt.studies.judges import judged, read_judge
from exapt.training.pretrained import Pretrained

TEXTS, SEQUENCES = (".txt", ".csv"), (".fasta", ".fa", ".txt", ".csv")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wishes:
    """What a user asks of new sequences."""

    constraints: Constraints = field(default_factory=Constraints)
    filters: Filters = field(default_factory=Filters)
    judges: tuple[str, ...] = ()
    """Files: with `judge_label` of measurements, without of a family."""
    judge_label: str | None = None
    sweeps: int = 10
    block: float = 0.1
    score: bool = True

    def changed(self) -> list[str]:
        """The options that say something, as a user writes them: none of these fits molecules."""
        default, names = asdict(Wishes()), []
        for name, value in asdict(self).items():
            for part, given in value.items() if isinstance(value, dict) else [(name, value)]:
                usual = default[name][part] if isinstance(value, dict) else default[name]
                names += ["--" + part.replace("_", "-").replace("judges", "judge")] if given != usual else []
        return names


def writes(pretrained: Pretrained) -> bool:
    """Whether a checkpoint can write sequences."""
    return isinstance(pretrained.domain, TokenDomain) and isinstance(
        pretrained.objective, Autoregressive | MaskedTokens
    )


def generate_sequences(
    pretrained: Pretrained,
    out: Path,
    drawing: Drawing,
    wishes: Wishes,
    against: str | None,
    novelty: bool,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Write new sequences to `out` and a record of how beside it (`out` + .json), and return the record.

    Novelty, the identity to the nearest sequence of the corpus, is measured where `novelty` asks for it.
    """
    domain = pretrained.domain
    assert isinstance(domain, TokenDomain)
    valid = TEXTS if isinstance(domain, TextDomain) else SEQUENCES
    if out.suffix not in valid:
        raise InputError(f"--out {out}: unknown ending '{out.suffix}'; valid here: {', '.join(valid)}")
    if wishes.judge_label and not wishes.judges:
        raise InputError(f"--judge-label {wishes.judge_label}: of which file? give it with --judge")
    bound = bind(wishes.constraints, domain, needs_length=isinstance(pretrained.objective, MaskedTokens))
    judges = [read_judge(path, wishes.judge_label, domain, bound, drawing.seed) for path in wishes.judges]
    corpus, note = read_corpus(domain, pretrained.record, against) if novelty else (None, "")
    if note:
        say(note)
    start = time.process_time()
    designs = design(pretrained, bound, drawing, wishes.filters, corpus, say)
    ids = [one.ids for one in designs.kept]
    found: dict[str, Any] = {"count": len(ids), "out": str(out), "cpu seconds": time.process_time() - start}
    found |= _figures(designs, drawing.seed)
    found["score is"] = "pseudo-log-likelihood" if isinstance(pretrained.objective, MaskedTokens) else "log-likelihood"
    found["judges"] = [judged(judge, ids, bound, drawing.seed) for judge in judges] if ids else []
    found |= {"drawn": asdict(drawing) | asdict(wishes) | {"against": against}, "note": note}
    write_sequences(out, designs.kept, found["judges"])
    found["sequences"] = [_plain(one) for one in designs.kept]
    write_json(out.with_name(out.name + ".json"), found)
    return found


def _figures(designs: Designs, seed: int) -> dict[str, Any]:
    """Means over the texts kept, and why others were not."""
    kept = designs.kept
    return {
        "tried": designs.drawn,
        "refused": dict(designs.refused),
        "different": len({one.text for one in kept}),
        "score": mean_of([one.score for one in kept]),
        "identity to the template": mean_of([one.to_template for one in kept]),
        "identity to the nearest": mean_of([one.nearest for one in kept]),
        "identity of pairs": spread([one.ids for one in kept], np.random.default_rng(seed)),
        "letters": mean_of([float(len(one.text)) for one in kept]),
    }


def _plain(one: Drawn) -> dict[str, Any]:
    facts = {"text": one.text, "score": one.score, "identity": one.to_template, "changes": one.changes}
    return facts | {"nearest": one.nearest, "complexity": one.complexity}


def write_sequences(out: Path, kept: Sequence[Drawn], judges: Sequence[dict[str, Any]] = ()) -> None:
    """By the file's ending: FASTA with facts in the headers, .csv with a column for each, .txt one a line."""
    names = [f"judge {number}" for number in range(1, len(judges) + 1)]
    rows = [
        {name: value for name, value in _plain(one).items() if value is not None}
        | {name: judge["scores"][at] for name, judge in zip(names, judges, strict=True)}
        for at, one in enumerate(kept)
    ]
    with atomic(out) as temporary:
        if out.suffix == ".csv":
            columns = ["number", *dict.fromkeys(name for row in rows for name in row)]
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns or ["number", "text"])
                writer.writeheader()
                writer.writerows({"number": number, **row} for number, row in enumerate(rows, 1))
            return
        fasta = out.suffix in (".fasta", ".fa")
        text = "".join((_header(n, row) if fasta else "") + _line(row["text"]) for n, row in enumerate(rows, 1))
        temporary.write_text(text, encoding="utf-8")


def _line(text: str) -> str:
    return " ".join(text.splitlines()) + "\n"


def _header(number: int, row: dict[str, Any]) -> str:
    facts = " ".join(f"{name.replace(' ', '-')}={value:.4g}" for name, value in row.items() if name != "text")
    return f">generated-{number} {facts}\n"


def sentence(found: dict[str, Any]) -> str:
    """The figures in one line."""
    words = f"{found['count']:,} written, {found['different']:,} different"
    if found["score"] is not None:
        words += f"; mean {found['score is']} {found['score']:.3f} nats a token"
    if found["identity to the nearest"] is not None:
        words += f"; identity to the nearest of the corpus {found['identity to the nearest']:.1%}"
    for judge in found["judges"]:
        words += f"; {judge['name']}: {_verdict(judge)}"
    return words


def _verdict(judge: dict[str, Any]) -> str:
    if "gain" not in judge:
        return "nothing to judge"
    gain, means = judge["gain"], (judge["designs"]["mean"], judge["controls"]["mean"], judge["family"]["mean"])
    return "designs {:.3f}, controls {:.3f}, family {:.3f}; gain over controls {:+.3f} ({:+.3f} to {:+.3f})".format(
        *means, gain["mean"], gain["low"], gain["high"]
    )
