"""Left context against both sides: the same network and data, pre-trained autoregressively and by masking.

    python benchmarks/both_sides.py [--steps 300] [--seeds 3]

On RDKit's own 5,000 SMILES as actions (`docs/molecules.md`), which need no file. Equal compute: the same batches and
steps, and the seconds of both are printed. For each seed:

- bits of a hidden token: with the left context (autoregressive), with both sides when 30 % are hidden, and with both
  sides when it alone is hidden;
- generation: the share of valid molecules with no valence mask, from left to right and by Gibbs sampling over hidden
  places of the corpus's lengths;
- a probe: R² of Crippen's logP by ridge regression on frozen features (mean and maximum), 1,000 labels, 1,000 tested.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import RidgeCV

from exapt.backbones import TransformerSpec
from exapt.domains import MoleculeDomain, MoleculeSpec, Source
from exapt.domains.base import Dataset
from exapt.domains.tokens import SPECIAL
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.objectives.generate import generate_many
from exapt.objectives.gibbs import gibbs
from exapt.objectives.likelihood import likelihoods
from exapt.studies.designing import with_ends
from exapt.studies.molecule_figures import checked, properties
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import Pretrained
from exapt.training.spec import TrainingSpec

SOURCE = Source(path="rdkit:nci")
DOMAIN = MoleculeSpec(length=64, on_error="skip")
TEST, DRAWN = 100, 300


def main() -> None:
    """Print a line for each seed, then means and deviations."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--steps", type=int, default=300)
    asked.add_argument("--seeds", type=int, default=3)
    given = asked.parse_args()
    domain = DOMAIN.build()
    dataset = domain.read(SOURCE)
    logp = properties(domain.smiles(dataset))[:, 1]
    found: dict[str, list[float]] = {}
    for seed in range(given.seeds):
        for causal in (True, False):
            for name, value in figures(domain, dataset, logp, causal, seed, given.steps).items():
                found.setdefault(name, []).append(value)
                print(f"seed {seed}: {name}: {value:.3f}", flush=True)
    for name, values in found.items():
        print(f"{name}: {np.mean(values):.3f} ± {np.std(values, ddof=1) if len(values) > 1 else math.nan:.3f}")


def figures(
    domain: MoleculeDomain, dataset: Dataset, logp: np.ndarray, causal: bool, seed: int, steps: int
) -> dict[str, float]:
    """One training and what it is worth; the last examples were never trained on."""
    name, start = "left" if causal else "both", time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        done = pretrain(
            SOURCE,
            DOMAIN,
            TransformerSpec(size="nano", causal=causal),
            AutoregressiveSpec() if causal else MaskedSpec(),
            TrainingSpec(steps=steps, batch=64, lr=0.003, seed=seed, holdout=0),
            Path(folder),
            progress=False,
            select=lambda _, data: data.subset(range(len(data) - 2000)),
        )
    seconds = time.process_time() - start
    held = [dataset[i] for i in range(len(dataset) - TEST, len(dataset))]
    texts = [with_ends(domain, example.inputs) for example in held]
    found = {f"{name}: seconds": seconds, f"{name}: bits": bits(done, texts)}
    if not causal:
        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            loss = done.objective(done.backbone, domain.collate(held), rng)
        found["both: bits with 30 % hidden"] = float(loss.value) / math.log(2)
    smiles = drawn(domain, done, dataset, causal, seed)
    found[f"{name}: valid without the mask"] = sum(bool(checked(text)) for text in smiles) / len(smiles)
    found[f"{name}: probe R²"] = probe(domain, done, dataset, logp)
    return found


def bits(done: Pretrained, texts: Sequence[torch.Tensor]) -> float:
    """Bits a token, each with all the context that the network takes."""
    each = likelihoods(done.backbone, done.objective, texts)  # type: ignore[arg-type]
    return -sum(one.total for one in each) / sum(one.tokens for one in each) / math.log(2)


def drawn(domain: MoleculeDomain, done: Pretrained, dataset: Dataset, causal: bool, seed: int) -> list[str]:
    """Molecules with nothing barred; '' where the ids build none."""
    rng = torch.Generator().manual_seed(seed)
    objective: Any = done.objective
    if causal:
        starts = [torch.tensor([SPECIAL["start"]])] * DRAWN
        rows = generate_many(done.backbone, objective, starts, domain.inputs.length - 1, rng=rng)
        return [domain.decode(row) if int(row[-1]) == SPECIAL["end"] else "" for row in rows]
    lengths = np.random.default_rng(seed).choice(dataset.lengths, DRAWN)
    texts = [with_ends(domain, np.full(n, SPECIAL["mask"])) for n in lengths]
    free = [torch.arange(1, n + 1) for n in lengths]
    return [domain.decode(row) for row in gibbs(done.backbone, objective, texts, free, sweeps=5, block=0.05, rng=rng)]


def probe(domain: MoleculeDomain, done: Pretrained, dataset: Dataset, logp: np.ndarray) -> float:
    """R² on the last 1,000 molecules from the 1,000 before them; neither was trained on."""
    places = range(len(dataset) - 2000, len(dataset))
    with torch.no_grad():
        features = done.backbone(domain.collate([dataset[i] for i in places]))
        x = torch.cat([features.pooled("mean"), features.pooled("max")], dim=1).numpy()
    y = logp[-2000:]
    fitted = RidgeCV(np.logspace(-3, 3, 13)).fit(x[:1000], y[:1000])
    return float(fitted.score(x[1000:], y[1000:]))


if __name__ == "__main__":
    main()
