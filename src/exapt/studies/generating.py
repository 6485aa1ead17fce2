"""Writing new examples with a checkpoint that was pre-trained to predict tokens."""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from exapt.domains.base import Source
from exapt.domains.molecule import MoleculeDomain
from exapt.domains.tokens import SPECIAL
from exapt.errors import InputError
from exapt.files import atomic
from exapt.objectives.autoregressive import Autoregressive
from exapt.objectives.generate import generate_many
from exapt.studies.designing import Drawing
from exapt.studies.generating_sequences import Wishes, generate_sequences, writes
from exapt.studies.molecule_figures import figures_of
from exapt.training.pretrained import Pretrained, load_pretrained
from exapt.training.seeds import derive

SIDE_BY_SIDE = 256
"""Examples written at once."""
PLAIN = Wishes()
MOLECULES = (".smi", ".sdf", ".csv")
Say = Callable[[str], None]


@dataclass(frozen=True)
class Sampling:
    """How to draw; see `generate_many`."""

    count: int = 1000
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int = 0
    max_atoms: int | None = None

    def check(self) -> None:
        """Raise `InputError` for what cannot be drawn."""
        if self.count < 1:
            raise InputError(f"--count {self.count}; valid: 1 or more")
        if self.max_atoms is not None and self.max_atoms < 1:
            raise InputError(f"--max-atoms {self.max_atoms}; valid: 1 or more")


def generate_file(
    checkpoint: Path,
    out: Path,
    sampling: Sampling,
    against: str | None = None,
    say: Say = lambda _: None,
    wishes: Wishes = PLAIN,
    novelty: bool = False,
) -> dict[str, Any]:
    """Write new examples to `out`, and say how many and what they are worth.

    Of molecules the figures hold those of an equal number drawn without the valence mask. `against` is the corpus that
    novelty is counted against; None: the one the checkpoint was trained on, where it is still there. `wishes` are for
    sequences, and so is `novelty`, which molecules always have.
    """
    sampling.check()
    pretrained = load_pretrained(checkpoint)
    domain = pretrained.domain
    if isinstance(domain, MoleculeDomain) and isinstance(pretrained.objective, Autoregressive):
        if wishes.changed():
            raise InputError(f"{', '.join(wishes.changed())}: not for molecules; valid: --max-atoms")
        return _generate_molecules(pretrained, domain, out, sampling, against, say)
    if isinstance(domain, MoleculeDomain) or not writes(pretrained):
        raise InputError(
            f"{checkpoint}: a checkpoint of domain {domain.spec.plain()['kind']} that was not trained to write; valid: "
            "text, dna or protein with objective.kind=autoregressive or masked, or molecule with autoregressive"
        )
    if sampling.max_atoms is not None:
        raise InputError(f"--max-atoms {sampling.max_atoms}: only for molecules; valid: --length")
    drawing = Drawing(
        sampling.count,
        sampling.temperature,
        sampling.top_p,
        sampling.seed,
        sweeps=wishes.sweeps,
        block=wishes.block,
        score=wishes.score,
    )
    asked = novelty or bool(against) or wishes.filters.max_known is not None
    return generate_sequences(pretrained, out, drawing, wishes, against, asked, say)


def _generate_molecules(
    pretrained: Pretrained, domain: MoleculeDomain, out: Path, sampling: Sampling, against: str | None, say: Say
) -> dict[str, Any]:
    if out.suffix not in MOLECULES:
        raise InputError(f"--out {out}: unknown ending '{out.suffix}'; valid here: {', '.join(MOLECULES)}")
    start = time.process_time()
    texts = draw(pretrained, sampling, guided=True)
    found: dict[str, Any] = {"count": len(texts), "out": str(out), "cpu seconds": time.process_time() - start}
    found["drawn"] = vars(sampling)
    write(out, texts)
    known, note = _corpus(domain, pretrained, against)
    if note:
        say(note)
    found |= figures_of(texts, known, sampling.seed)
    found["without the mask"] = figures_of(draw(pretrained, sampling, guided=False), (), sampling.seed)
    return found | {"corpus": {"molecules": len(known), "note": note}, "smiles": texts}


def draw(pretrained: Pretrained, sampling: Sampling, guided: bool) -> list[str]:
    """`count` SMILES, '' where the ids build none, which a guided walk never does."""
    domain, objective = pretrained.domain, pretrained.objective
    assert isinstance(domain, MoleculeDomain)
    assert isinstance(objective, Autoregressive)
    length = domain.inputs.length - 1
    rng = torch.Generator().manual_seed(derive(sampling.seed, "generate"))
    texts: list[str] = []
    while len(texts) < sampling.count:
        count = min(SIDE_BY_SIDE, sampling.count - len(texts))
        rows = generate_many(
            pretrained.backbone,
            objective,
            [torch.tensor([SPECIAL["start"]])] * count,
            length,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            rng=rng,
            guide=domain.guide(count, length, sampling.max_atoms) if guided else None,
        )
        texts += [_text(domain, row) for row in rows]
    return texts


def _text(domain: MoleculeDomain, row: Tensor) -> str:
    """What a row of ids says; a molecule that did not come to its end is none."""
    return domain.decode(row) if int(row[-1]) == SPECIAL["end"] else ""


def _corpus(domain: MoleculeDomain, pretrained: Pretrained, against: str | None) -> tuple[list[str], str]:
    """The SMILES that novelty is counted against, and a word where there are none."""
    source = Source.parse({"path": against} if against else pretrained.record["corpus"], "corpus")
    try:
        return domain.smiles(domain.read(source)), ""
    except InputError as mistake:
        if against:
            raise
        return [], f"novelty and properties are left out: {mistake}"


def write(out: Path, texts: Sequence[str]) -> None:
    """Write SMILES by the file's ending: .smi one a line, .csv numbered, .sdf with flat drawings."""
    with atomic(out) as temporary:
        if out.suffix == ".sdf":
            _write_sdf(temporary, texts)
        elif out.suffix == ".csv":
            with open(temporary, "w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows([["number", "smiles"], *enumerate(texts, 1)])
        else:
            temporary.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")


def _write_sdf(path: Path, texts: Sequence[str]) -> None:
    from rdkit import Chem
    from rdkit.Chem import rdDepictor

    with Chem.SDWriter(str(path)) as writer:
        for number, text in enumerate(texts, 1):
            molecule = Chem.MolFromSmiles(text)
            rdDepictor.Compute2DCoords(molecule)
            molecule.SetProp("_Name", f"generated-{number}")
            molecule.SetProp("smiles", text)
            writer.write(molecule)
