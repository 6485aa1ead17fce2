"""Scores of mutants against brute force, on windows, from an ESM folder, and with a few labels; the Jacobian too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from exapt.adaptation import Start
from exapt.adaptation.few_variants import PENALTIES, few_labels, one_hot, ridge_path
from exapt.adaptation.fillers import HubFiller, OwnFiller, filler_of
from exapt.adaptation.pair_maps import jacobian
from exapt.adaptation.variants import Scorer, window_start
from exapt.backbones import TransformerSpec
from exapt.domains import from_arrays
from exapt.domains.mutations import RESIDUES, read_mutants
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.training.pretrained import save_pretrained
from protein_standins import ESM, WILD, esm_folder, network

CODES = ["K2R", "K2R:W7A", "V3V", "D6*", "F10L"]


def log_probabilities(parts, sequence: str, hidden: tuple[int, ...]) -> torch.Tensor:
    """(L, 20), one sequence at a time."""
    domain, backbone, objective = parts
    batch = domain.collate(list(domain.read(from_arrays([sequence]))))
    batch.inputs[[1 + i for i in hidden]] = domain.inputs.special["mask"]
    with torch.no_grad():
        return objective.logits(backbone, backbone(batch).elements)[1:-1, 5:].double().log_softmax(-1)


def at(letter: str) -> int:
    return RESIDUES.index(letter)


def test_masked_and_wild_type_marginals_by_brute_force() -> None:
    parts = network()
    scorer = Scorer(OwnFiller(*parts), WILD)
    mutants = read_mutants(CODES, WILD, 0, "t")
    for how in ("masked-marginals", "wild-type-marginals"):
        wanted = []
        for mutant in mutants:
            table = log_probabilities(parts, WILD, mutant.places if how == "masked-marginals" else ())
            odds = [
                float(table[c.place, at(c.new)] - table[c.place, at(c.old)]) for c in mutant.changes if c.new != "*"
            ]
            wanted.append(np.nan if mutant.stop else sum(odds))
        assert np.allclose(scorer.scores(mutants, how), wanted, atol=1e-5, equal_nan=True)


def test_pseudo_likelihood_by_brute_force() -> None:
    parts = network()

    def whole(sequence: str) -> float:
        return sum(float(log_probabilities(parts, sequence, (i,))[i, at(c)]) for i, c in enumerate(sequence))

    mutants = read_mutants(CODES, WILD, 0, "t")
    found = Scorer(OwnFiller(*parts), WILD).scores(mutants, "pseudo-likelihood")
    wanted = [np.nan if m.stop else whole(m.applied(WILD)) - whole(WILD) for m in mutants]
    assert np.allclose(found, wanted, atol=1e-4, equal_nan=True)


def test_a_long_chain_is_seen_through_windows() -> None:
    domain, backbone, objective = parts = network(length=12)
    wild = WILD * 3
    mutants = read_mutants(["W18A"], wild, 0, "t")
    for how, hidden in (("masked-marginals", (5,)), ("wild-type-marginals", ())):
        table = log_probabilities(parts, wild[12:22], hidden)
        wanted = float(table[5, at("A")] - table[5, at("W")])
        assert Scorer(OwnFiller(domain, backbone, objective), wild).scores(mutants, how)[0] == pytest.approx(
            wanted, abs=1e-5
        )


def test_windows() -> None:
    assert [window_start(30, h, 10) for h in ((), (0,), (17,), (29,))] == [0, 0, 12, 20]
    with pytest.raises(InputError, match="lie 20 apart; the network sees 10"):
        window_start(30, (2, 22), 10)


def test_an_esm_folder_scores_by_its_own_head(tmp_path: Path) -> None:
    import transformers

    folder = esm_folder(tmp_path / "esm", masked=True)
    filler = filler_of(folder)
    assert isinstance(filler, HubFiller)
    found = Scorer(filler, WILD).scores(read_mutants(["K2R"], WILD, 0, "t"))
    ids = torch.tensor([[0, *(ESM.index(c) for c in WILD), 2]])
    ids[0, 2] = 32
    with torch.no_grad():
        logits = transformers.EsmForMaskedLM.from_pretrained(folder).eval()(input_ids=ids).logits[0, 2]
    assert found[0] == pytest.approx(float(logits[ESM.index("R")] - logits[ESM.index("K")]), abs=1e-5)


def test_only_masked_checkpoints_score(tmp_path: Path) -> None:
    domain, backbone, objective = network()
    specs = {"objective": MaskedSpec()}
    saved = save_pretrained(tmp_path / "m", domain, backbone, objective, {}, specs=specs)
    assert np.isfinite(Scorer(filler_of(saved), WILD).scores(read_mutants(["K2R"], WILD, 0, "t"))).all()
    causal = TransformerSpec(width=16, depth=1, heads=2, causal=True).build(domain.inputs, seed=0)
    writer = AutoregressiveSpec().build(domain, causal, seed=0)
    saved = save_pretrained(tmp_path / "a", domain, causal, writer, {}, specs={"objective": AutoregressiveSpec()})
    with pytest.raises(InputError, match="pre-trained by objective autoregressive; scoring mutants needs"):
        filler_of(saved)


def test_the_jacobian_by_brute_force() -> None:
    domain, backbone, objective = parts = network()
    sequence = "MKVAC"
    start = Start(domain, backbone, objective=objective)
    with torch.no_grad():
        found = jacobian(start, objective, domain.collate(list(domain.read(from_arrays([sequence])))))
    rows = [[sequence[:i] + letter + sequence[i + 1 :] for letter in RESIDUES] for i in range(5)]
    batch_logits = np.zeros((5, 20, 5, 20))
    for i, changed in enumerate(rows):
        for a, one in enumerate(changed):
            batch = domain.collate(list(domain.read(from_arrays([one]))))
            with torch.no_grad():
                batch_logits[i, a] = objective.logits(parts[1], backbone(batch).elements)[1:-1, 5:].numpy()
    for axis in range(4):
        batch_logits -= batch_logits.mean(axis, keepdims=True)
    wanted = np.sqrt((batch_logits**2).sum((1, 3)))
    np.fill_diagonal(wanted, 0)
    assert np.allclose(found.numpy(), wanted, atol=1e-4)


def test_ridge_by_its_formula() -> None:
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(12, 5)), rng.normal(size=12), rng.normal(size=(3, 5))
    centred = x - x.mean(0)
    for found, penalty in zip(ridge_path(x, y, new), PENALTIES, strict=True):
        weights = np.linalg.solve(centred.T @ centred + penalty * np.eye(5), centred.T @ (y - y.mean()))
        assert np.allclose(found, (new - x.mean(0)) @ weights + y.mean(), atol=1e-8)


def planted_scan():
    """Every single mutant of a chain, with an effect of the letter, and a score that knows half of it."""
    rng = np.random.default_rng(0)
    wild = "".join(rng.choice(list(RESIDUES), 30))
    codes = [f"{old}{i + 1}{new}" for i, old in enumerate(wild) for new in RESIDUES if new != old]
    effect = rng.normal(size=len(codes))
    return wild, read_mutants(codes, wild, 0, "t"), effect, effect + rng.normal(size=len(codes))


def test_a_good_score_helps_few_labels_and_noise_is_left_out() -> None:
    wild, mutants, effect, score = planted_scan()
    (good,) = few_labels(mutants, wild, effect, score, [24], 5)
    assert good["low"] > 0.2 and good["augmented"] > 0.5
    noise = np.random.default_rng(1).normal(size=len(score))
    (bad,) = few_labels(mutants, wild, effect, noise, [24], 5)
    assert abs(bad["difference"]) < 0.1


def test_letters_at_the_places_that_change() -> None:
    mutants = read_mutants(["K2R", "F10L", ""], WILD, 0, "t")
    hot = one_hot(mutants, WILD).reshape(3, 2, 20)
    assert [[RESIDUES[k] for k in row.argmax(-1)] for row in hot] == [["R", "F"], ["K", "L"], ["K", "F"]]


def test_too_many_labels_are_refused() -> None:
    wild, mutants, effect, score = planted_scan()
    with pytest.raises(InputError, match=r"--labels 500: 570 mutants .* choose up to 456"):
        few_labels(mutants, wild, effect, score, [500], 2)
    with pytest.raises(InputError, match="--seeds 1"):
        few_labels(mutants, wild, effect, score, [24], 1)
