"""The domain's actions beside SELFIES (Krenn et al. 2020): what comes back, how long it is, what random choices give.

    pip install selfies && python benchmarks/random_molecules.py

Not a dependency of exapt, and run by hand. Both are given RDKit's own 5,000 SMILES, without stereo; random walks are of
as many uniform choices as the mean molecule has symbols, among all symbols that the corpus uses (SELFIES) or that are
allowed (actions).
"""

from __future__ import annotations

import time

import numpy as np
import selfies
import torch

from exapt.domains import MoleculeSpec, Source
from exapt.domains.tokens import SPECIAL
from exapt.studies.molecule_figures import checked

WALKS = 2000


def main() -> None:
    """Print a line for each."""
    from rdkit import Chem, RDLogger

    RDLogger.DisableLog("rdApp.*")  # type: ignore[attr-defined]
    domain = MoleculeSpec(on_error="skip").build()
    dataset = domain.read(Source(path="rdkit:nci"))
    smiles = domain.smiles(dataset)
    start = time.process_time()
    coded = [_encoded(text) for text in smiles]
    back = [selfies.decoder(code) if code else "" for code in coded]
    same = sum(_canonical(Chem, b) == s for b, s in zip(back, smiles, strict=True))
    lengths = np.array([selfies.len_selfies(code) for code in coded if code])
    print(f"SELFIES: {same} of {len(smiles)} come back, {lengths.mean():.1f} symbols, {_since(start):.1f} s")
    start = time.process_time()
    ids = [domain.encode(text) for text in smiles]
    own = sum(domain.decode(i) == s for i, s in zip(ids, smiles, strict=True))
    print(f"actions: {own} of {len(smiles)} come back, {dataset.lengths.mean():.1f} actions, {_since(start):.1f} s")
    rng = np.random.default_rng(0)
    symbols = sorted(selfies.get_alphabet_from_selfies(code for code in coded if code))
    drawn = [selfies.decoder("".join(rng.choice(symbols, round(lengths.mean())))) for _ in range(WALKS)]
    _say("SELFIES", [_canonical(Chem, text) for text in drawn], Chem)
    _say("actions", _walks(domain, round(dataset.lengths.mean())), Chem)


def _encoded(smiles: str) -> str:
    try:
        return str(selfies.encoder(smiles))
    except selfies.EncoderError:
        return ""


def _canonical(chem: object, smiles: str) -> str:
    molecule = chem.MolFromSmiles(smiles) if smiles else None  # type: ignore[attr-defined]
    return "" if molecule is None else chem.MolToSmiles(molecule, isomericSmiles=False)  # type: ignore[attr-defined]


def _walks(domain: object, length: int) -> list[str]:
    """Uniform choices among the actions that are allowed; the end only when there are no more tokens."""
    guide, rng = domain.guide(WALKS, length + 1), torch.Generator().manual_seed(0)  # type: ignore[attr-defined]
    rows, texts = torch.arange(WALKS), [[] for _ in range(WALKS)]
    while len(rows):
        allowed = guide.allowed(rows)
        more = allowed.clone()
        more[:, SPECIAL["end"]] = False
        odds = torch.where(more.any(1)[:, None], more, allowed).float()
        chosen = torch.multinomial(odds, 1, generator=rng).squeeze(1)
        guide.take(rows, chosen)
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            texts[row].append(token)
        rows = rows[chosen != SPECIAL["end"]]
    return [domain.decode(np.array(text)) for text in texts]  # type: ignore[attr-defined]


def _say(name: str, smiles: list[str], chem: object) -> None:
    valid = [s for s in map(checked, smiles) if s]
    atoms = np.mean([chem.MolFromSmiles(s).GetNumAtoms() for s in valid])  # type: ignore[attr-defined]
    print(f"{name}: {len(valid)} of {len(smiles)} random walks valid, {len(set(valid))} different, {atoms:.1f} atoms")


def _since(start: float) -> float:
    return time.process_time() - start


if __name__ == "__main__":
    main()
