"""What a set of generated molecules is worth: validity, uniqueness, novelty, scaffolds and distance of properties."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.stats import binomtest, wasserstein_distance

from exapt.domains.atom_molecules import rdkit
from exapt.domains.molecule_graph import smiles_of

PROPERTIES = ("molecular weight", "logP", "TPSA", "rings", "QED", "H donors", "H acceptors", "rotatable bonds")
"""By RDKit: average weight, Crippen's logP, topological polar surface in Å², smallest rings, drug-likeness, counts."""
MEASURED = 1000
"""Properties and scaffolds are taken of so many molecules at most."""
CONFIDENCE = 0.9


def share(part: int, whole: int) -> dict[str, Any]:
    """A share with Wilson's 90 % interval."""
    if not whole:
        return {"count": part, "of": whole, "share": None, "low": None, "high": None}
    found = binomtest(part, whole).proportion_ci(CONFIDENCE, method="wilson")
    return {"count": part, "of": whole, "share": part / whole, "low": float(found.low), "high": float(found.high)}


def checked(smiles: str) -> str:
    """The SMILES, if RDKit reads it and writes the very same one again; else ''."""
    from rdkit import rdBase

    with rdBase.BlockLogs():
        molecule = rdkit().MolFromSmiles(smiles) if smiles else None
    return smiles if molecule is not None and smiles_of(molecule) == smiles else ""


def figures_of(smiles: Sequence[str], known: Sequence[str], seed: int) -> dict[str, Any]:
    """The figures of generated SMILES ('' for what is no molecule) against those of the training corpus.

    `valid` are those that RDKit sanitises and that come back the same from their SMILES; `unique` is the share of
    different ones among the valid, which falls as more are drawn; `novel` those of the different ones that the corpus
    does not hold.
    """
    valid = [s for s in map(checked, smiles) if s]
    different, corpus = list(dict.fromkeys(valid)), set(known)
    found: dict[str, Any] = {"valid": share(len(valid), len(smiles))}
    found["unique"] = {"count": len(different), "of": len(valid), "share": len(different) / max(1, len(valid))}
    if not known:
        return found
    found["novel"] = share(sum(s not in corpus for s in different), len(different))
    rng = np.random.default_rng(seed)
    drawn = _some(different, rng)
    reference = _some(list(dict.fromkeys(known)), rng, 2 * MEASURED)
    if len(drawn) > 1 and len(reference) > 3:
        found["scaffolds"] = scaffolds(drawn, known)
        half = len(reference) // 2
        found["properties"] = distances(
            properties(drawn), properties(reference[:half]), properties(reference[half : 2 * half])
        )
    return found


def _some(smiles: Sequence[str], rng: np.random.Generator, most: int = MEASURED) -> list[str]:
    return [smiles[i] for i in rng.permutation(len(smiles))[:most]]


def properties(smiles: Sequence[str]) -> np.ndarray:
    """(n, 8) the `PROPERTIES` of molecules."""
    chem = rdkit()
    from rdkit.Chem import QED, rdMolDescriptors

    measures: tuple[Any, ...] = (
        rdMolDescriptors._CalcMolWt,
        lambda molecule: rdMolDescriptors.CalcCrippenDescriptors(molecule)[0],
        rdMolDescriptors.CalcTPSA,
        rdMolDescriptors.CalcNumRings,
        QED.qed,
        rdMolDescriptors.CalcNumHBD,
        rdMolDescriptors.CalcNumHBA,
        rdMolDescriptors.CalcNumRotatableBonds,
    )
    molecules = map(chem.MolFromSmiles, smiles)
    return np.array([[float(measure(m)) for measure in measures] for m in molecules]).reshape(-1, len(PROPERTIES))


def distances(drawn: np.ndarray, first: np.ndarray, second: np.ndarray) -> dict[str, Any]:
    """How far the properties of molecules (n, p) lie from the corpus, and as a floor one half of it from the other.

    In standard deviations of the corpus: Wasserstein's distance of each, and Fréchet's of normal laws fitted to all
    eight at once. This is not the Fréchet ChemNet distance: no network is involved.
    """
    scale = first.std(0) + 1e-9
    each = {
        name: {
            "drawn": _about(drawn[:, i]),
            "corpus": _about(first[:, i]),
            "wasserstein": _wasserstein(drawn[:, i], first[:, i], scale[i]),
            "floor": _wasserstein(second[:, i], first[:, i], scale[i]),
        }
        for i, name in enumerate(PROPERTIES)
    }
    return {
        "frechet": frechet(drawn / scale, first / scale),
        "floor": frechet(second / scale, first / scale),
        "measured": len(drawn),
        "corpus": len(first),
        "each": each,
    }


def _about(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "deviation": float(values.std())}


def _wasserstein(one: np.ndarray, other: np.ndarray, scale: float) -> float:
    return float(wasserstein_distance(one, other) / scale)


def frechet(one: np.ndarray, other: np.ndarray) -> float:
    """The squared Fréchet distance of the normal laws with the means and covariances of (n, p) and (m, p).

    |μ − ν|² + tr(Σ + Τ − 2 (Σ^½ Τ Σ^½)^½) (Dowson & Landau 1982).
    """
    mean = one.mean(0) - other.mean(0)
    sigma, tau = np.cov(one.T), np.cov(other.T)
    values, vectors = np.linalg.eigh(sigma)
    root = (vectors * np.sqrt(values.clip(0))) @ vectors.T
    both = np.sqrt(np.linalg.eigvalsh(root @ tau @ root).clip(0)).sum()
    return float(max(0.0, mean @ mean + np.trace(sigma) + np.trace(tau) - 2 * both))


def scaffolds(drawn: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """Bemis and Murcko's scaffolds (1996): how many different ones, and how many of them the corpus lacks.

    The corpus is looked through whole up to 20,000 molecules; of a larger one the first so many.
    """
    from rdkit.Chem.Scaffolds.MurckoScaffold import MurckoScaffoldSmiles

    rings = [s for s in (MurckoScaffoldSmiles(text) for text in drawn) if s]
    old = {MurckoScaffoldSmiles(text) for text in list(known)[:20_000]}
    different = set(rings)
    return {
        "different": len(different),
        "of": len(rings),
        "without rings": len(drawn) - len(rings),
        "new": share(len(different - old), len(different)),
    }


def grid(smiles: Sequence[str], columns: int = 4, side: int = 220) -> str:
    """An SVG of molecules side by side."""
    from rdkit.Chem.Draw import rdMolDraw2D

    molecules = [rdkit().MolFromSmiles(text) for text in smiles]
    rows = -(-len(molecules) // columns)
    drawing = rdMolDraw2D.MolDraw2DSVG(columns * side, rows * side, side, side)
    drawing.DrawMolecules(molecules)
    drawing.FinishDrawing()
    text = str(drawing.GetDrawingText())
    return text[text.index("<svg") :]


def sentence(found: Mapping[str, Any]) -> str:
    """The figures in one line."""
    valid, unique = found["valid"], found["unique"]
    words = f"Valid: {valid['count']:,} of {valid['of']:,} ({_percent(valid)}), {unique['share']:.1%} of them different"
    if "novel" in found:
        words += f", {_percent(found['novel'])} of these not in the corpus"
    if "without the mask" in found:
        words += f"; without the mask {_percent(found['without the mask']['valid'])} are valid"
    return words


def _percent(value: Mapping[str, Any]) -> str:
    if value["share"] is None:
        return "none"
    return f"{value['share']:.1%}, 90 % interval {value['low']:.1%} to {value['high']:.1%}"
