"""Gibbs sampling with a masked network, and likelihoods of whole texts, against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from exapt.backbones import TransformerSpec
from exapt.batch import Batch
from exapt.domains.protein import ProteinSpec
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.objectives.gibbs import gibbs
from exapt.objectives.likelihood import likelihoods

DOMAIN = ProteinSpec(length=16).build()


def network(causal: bool) -> tuple[Any, Any]:
    backbone = TransformerSpec(width=16, depth=1, heads=1, causal=causal).build(DOMAIN.inputs, seed=0)
    spec = AutoregressiveSpec() if causal else MaskedSpec()
    return backbone, spec.build(DOMAIN, backbone, seed=1)


def texts() -> list[torch.Tensor]:
    ends = [torch.tensor([SPECIAL[name]]) for name in ("start", "end")]
    return [torch.cat([ends[0], torch.from_numpy(DOMAIN.encode(s)), ends[1]]) for s in ("ACDEFG", "MKV")]


def drawn(seed: int = 0, **changes: Any) -> list[torch.Tensor]:
    free = [torch.tensor([1, 3, 6]), torch.tensor([2])]
    return gibbs(*network(False), texts(), free, rng=torch.Generator().manual_seed(seed), **changes)


@pytest.mark.parametrize("block", [0.1, 1.0])
def test_only_free_places_change_and_only_to_letters(block: float) -> None:
    new = drawn(sweeps=3, block=block, barred=[PLAIN])
    for row, old, free in zip(new, texts(), ([1, 3, 6], [2]), strict=True):
        kept = np.setdiff1d(np.arange(len(old)), free)
        assert torch.equal(row[kept], old[kept])
        assert bool((row[free] > PLAIN).all())
    assert all(torch.equal(a, b) for a, b in zip(new, drawn(sweeps=3, block=block, barred=[PLAIN]), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(new, drawn(1, sweeps=3, block=block), strict=True))


def test_one_free_place_is_drawn_from_the_networks_conditional() -> None:
    backbone, objective = network(False)
    hidden = texts()[1].clone()
    hidden[2] = SPECIAL["mask"]
    logits = objective.logits(backbone, backbone(Batch(hidden, torch.tensor([0, len(hidden)]))).elements)[2]
    logits[list(SPECIAL.values())] = -torch.inf
    law = logits.softmax(-1).detach().numpy()
    rng = torch.Generator().manual_seed(0)
    rows = gibbs(backbone, objective, [texts()[1]] * 4000, [torch.tensor([2])] * 4000, sweeps=1, rng=rng)
    found = np.bincount([int(row[2]) for row in rows], minlength=len(law)) / 4000
    assert np.abs(found - law).max() < 0.03
    (best,) = gibbs(backbone, objective, [texts()[1]], [torch.tensor([2])], sweeps=1, temperature=0, rng=rng)
    assert int(best[2]) == law.argmax()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sweeps": 0}, "sweeps: 0; valid: 1 or more"),
        ({"block": 0.0}, "block: 0.0; valid: above 0"),
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"top_p": 0.0}, "top_p: 0.0"),
    ],
)
def test_values_out_of_range(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        drawn(**changes)


def test_no_text_at_all() -> None:
    with pytest.raises(InputError, match="at least one token"):
        gibbs(*network(False), [torch.zeros(0, dtype=torch.long)], [torch.zeros(0, dtype=torch.long)],
              rng=torch.Generator())  # fmt: skip


@torch.no_grad()
def test_likelihoods_are_sums_over_one_text_at_a_time() -> None:
    backbone, objective = network(True)
    for text, found in zip(texts(), likelihoods(backbone, objective, texts()), strict=True):
        logs = objective.logits(backbone, backbone(Batch(text, torch.tensor([0, len(text)]))).elements)
        wanted = sum(float(logs[i].log_softmax(-1)[text[i + 1]]) for i in range(len(text) - 1))
        assert found.total == pytest.approx(wanted, abs=1e-4)
        assert found.tokens == len(text) - 1


@torch.no_grad()
def test_pseudo_likelihoods_hide_one_token_after_the_other() -> None:
    backbone, objective = network(False)
    for text, found in zip(texts(), likelihoods(backbone, objective, texts()), strict=True):
        wanted = 0.0
        for place in range(1, len(text) - 1):
            hidden = text.clone()
            hidden[place] = SPECIAL["mask"]
            elements = backbone(Batch(hidden, torch.tensor([0, len(text)]))).elements
            wanted += float(objective.logits(backbone, elements[place]).log_softmax(-1)[text[place]])
        assert found.total == pytest.approx(wanted, abs=1e-4)
        assert found.mean == pytest.approx(wanted / (len(text) - 2), abs=1e-4)
