"""Masked and autoregressive losses against plain loops over examples and elements."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_standins import Letters, Running, letters_batch
from pydantic import TypeAdapter
from torch.nn import functional as F

from exapt.backbones.base import Backbone
from exapt.batch import Batch
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.objectives import ObjectiveSpec, cross_entropy
from exapt.objectives.autoregressive import Autoregressive, AutoregressiveSpec, predictable
from exapt.objectives.masked import MaskedSpec, MaskedTokens
from exapt.objectives.tokens import TokenObjective

LENGTHS = st.lists(st.integers(0, 6), min_size=1, max_size=5)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def built(causal: bool, seed: int = 1) -> tuple[Letters, Running, TokenObjective]:
    domain, backbone = Letters(), Running(causal=causal)
    spec = AutoregressiveSpec() if causal else MaskedSpec(ratio=0.4)
    objective = spec.build(domain, backbone, seed=seed)
    assert isinstance(objective, TokenObjective)
    torch.nn.init.normal_(objective.bias, generator=rng(5))
    return domain, backbone.double(), objective.double()


def surprise(objective: TokenObjective, backbone: Backbone, element: torch.Tensor, truth: int) -> tuple[float, bool]:
    """Minus the log probability of one token, written out from the definition."""
    h = F.gelu(objective.dense.weight @ element)
    h = (h - h.mean()) / (h.var(unbiased=False) + 1e-5).sqrt() * objective.norm.weight
    scores = [
        float((backbone.embedding.weight[v] @ h + objective.bias[v]).detach()) for v in range(len(objective.bias))
    ]
    total = sum(math.exp(s) for s in scores)
    return -math.log(math.exp(scores[truth]) / total), max(scores) == scores[truth]


@settings(deadline=None, max_examples=30)
@given(LENGTHS, st.integers(0, 1000))
def test_masked_loss_equals_a_loop(lengths: list[int], seed: int) -> None:
    domain, backbone, objective = built(causal=False)
    batch = letters_batch(lengths, seed)
    masked = domain.mask(batch, 0.4, rng(seed))
    loss = objective(backbone, batch, rng(seed))
    assert loss.count == len(masked.where)
    features = backbone(masked.batch).elements
    parts = [
        surprise(objective, backbone, features[i], int(t)) for i, t in zip(masked.where, masked.target, strict=True)
    ]
    expected = sum(p for p, _ in parts) / len(parts) if parts else 0.0
    assert float(loss.value.detach()) == pytest.approx(expected, abs=1e-6)
    assert float(loss.terms["bits"]) == pytest.approx(expected / math.log(2), abs=1e-6)
    if parts:
        assert float(loss.terms["accuracy"]) == pytest.approx(sum(right for _, right in parts) / len(parts))


@settings(deadline=None, max_examples=30)
@given(LENGTHS, st.integers(0, 1000))
def test_autoregressive_loss_equals_a_loop_within_examples(lengths: list[int], seed: int) -> None:
    _, backbone, objective = built(causal=True)
    batch = letters_batch(lengths, seed)
    loss = objective(backbone, batch, rng())
    parts = []
    for b in range(len(lengths)):
        ids = batch.select([b]).inputs
        for i in range(1, len(ids)):
            before = Batch(ids[:i], torch.tensor([0, i]))
            parts.append(surprise(objective, backbone, backbone(before).elements[-1], int(ids[i])))
    assert loss.count == len(parts) == sum(max(n - 1, 0) for n in lengths)
    expected = sum(p for p, _ in parts) / len(parts) if parts else 0.0
    assert float(loss.value.detach()) == pytest.approx(expected, abs=1e-6)


@given(LENGTHS)
def test_nothing_is_predicted_across_a_border(lengths: list[int]) -> None:
    batch = letters_batch(lengths)
    before = predictable(batch.offsets)
    assert torch.equal(batch.segments[before], batch.segments[before + 1])
    assert len(before) == sum(max(n - 1, 0) for n in lengths)


def test_the_sparse_head_equals_the_dense_head_gathered_after() -> None:
    domain, backbone, objective = built(causal=False)
    batch = letters_batch([5, 9, 3])
    masked = domain.mask(batch, 0.4, rng(3))
    everywhere = objective.logits(backbone, backbone(masked.batch).elements)
    dense = F.cross_entropy(everywhere[masked.where], masked.target)
    sparse = objective(backbone, batch, rng(3)).value
    torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-6)
    names = [n for n, _ in objective.named_parameters()]
    ours = torch.autograd.grad(sparse, [*objective.parameters(), backbone.embedding.weight], retain_graph=True)
    plain = torch.autograd.grad(dense, [*objective.parameters(), backbone.embedding.weight])
    for name, a, b in zip([*names, "embedding"], ours, plain, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7, msg=name)


def test_the_embedding_is_tied_not_copied() -> None:
    _, backbone, objective = built(causal=False)
    assert [n for n, _ in objective.named_parameters()] == ["bias", "dense.weight", "norm.weight"]
    backbone.embedding.weight.data.zero_()
    assert torch.equal(objective.logits(backbone, torch.ones(1, 4, dtype=torch.float64))[0], objective.bias)


@pytest.mark.parametrize("causal", [False, True])
def test_nothing_to_predict_costs_nothing_but_keeps_the_graph(causal: bool) -> None:
    _, backbone, objective = built(causal)
    batch = Batch(torch.tensor([2]), torch.tensor([0, 1]))
    loss = objective(backbone, batch, rng())
    assert loss.count == 0
    assert float(loss.value.detach()) == 0.0
    loss.value.backward()
    assert all(p.grad is not None and not p.grad.any() for p in objective.parameters())


@pytest.mark.parametrize("causal", [False, True])
def test_gradients_reach_every_parameter(causal: bool) -> None:
    _, backbone, objective = built(causal)
    objective(backbone, letters_batch([8, 8, 8]), rng()).value.backward()
    for name, p in [*objective.named_parameters(), *backbone.named_parameters()]:
        assert p.grad is not None and p.grad.abs().sum() > 0, name


def test_terms_are_detached_and_the_same_seed_hides_the_same() -> None:
    _, backbone, objective = built(causal=False)
    batch = letters_batch([8, 8])
    first, again = objective(backbone, batch, rng(1)), objective(backbone, batch, rng(1))
    assert torch.equal(first.value, again.value)
    assert not any(t.requires_grad for t in first.terms.values())
    assert objective(backbone, batch, rng(2)).value != first.value


# --- cross entropy -------------------------------------------------------------------------------------------


def rows_of(m: int, v: int, d: int = 6, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    draw = rng(m * 100 + v)
    made = [torch.randn(*shape, generator=draw, dtype=dtype) for shape in ((m, d), (v, d), (v,))]
    return [*(t.requires_grad_() for t in made), torch.randint(0, v, (m,), generator=draw)]


@pytest.mark.parametrize("limit", [7, 20, 55])
def test_the_chunked_loss_and_its_gradients_equal_the_plain_ones(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, bias, target = rows_of(9, 7)
    plain = cross_entropy.tied_cross_entropy(hidden, weight, bias, target)
    monkeypatch.setattr(cross_entropy, "PLAIN", limit)
    monkeypatch.setattr(cross_entropy, "ROWS", 1)
    chunked = cross_entropy.tied_cross_entropy(hidden, weight, bias, target)
    assert "Chunked" in type(chunked.loss.grad_fn).__name__
    torch.testing.assert_close(chunked.loss, plain.loss, check_dtype=False, rtol=1e-5, atol=1e-6)
    assert float(chunked.correct) == pytest.approx(float(plain.correct))
    fast = torch.autograd.grad(3 * chunked.loss, [hidden, weight, bias])
    slow = torch.autograd.grad(3 * plain.loss, [hidden, weight, bias])
    for a, b in zip(fast, slow, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def test_autocast_reaches_the_chunked_products_and_stays_close(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, bias, target = rows_of(64, 50, dtype=torch.float32)
    exact = cross_entropy.tied_cross_entropy(hidden, weight, bias, target).loss
    monkeypatch.setattr(cross_entropy, "PLAIN", 640)
    monkeypatch.setattr(cross_entropy, "ROWS", 1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = cross_entropy.tied_cross_entropy(hidden, weight, bias, target).loss
    assert low.dtype == torch.float32
    assert low != exact
    assert float(low.detach()) == pytest.approx(float(exact.detach()), rel=5e-3)
    grads = torch.autograd.grad(low, [hidden, weight, bias])
    assert [g.dtype for g in grads] == [torch.float32] * 3


def test_ties_count_as_wrong() -> None:
    flat = torch.zeros(4, 3)
    assert float(cross_entropy.plain_cross_entropy(flat, torch.tensor([0, 1, 2, 0])).correct) == 0.0
    assert float(cross_entropy.plain_cross_entropy(torch.eye(3), torch.arange(3)).correct) == 1.0


# --- mismatches ----------------------------------------------------------------------------------------------


def test_a_backbone_that_looks_the_wrong_way_is_refused() -> None:
    with pytest.raises(InputError, match=r"kind=masked.*backbone\.causal is true.*autoregressive"):
        MaskedSpec().build(Letters(), Running(causal=True))
    with pytest.raises(InputError, match=r"kind=autoregressive.*backbone\.causal is false.*masked"):
        AutoregressiveSpec().build(Letters(), Running(causal=False))


def test_pictures_have_no_next_token() -> None:
    domain = Letters()
    domain.inputs = Inputs("pictures", channels=1, patch=4)
    with pytest.raises(InputError, match="needs tokens, not pictures"):
        AutoregressiveSpec().build(domain, Running(causal=True))


def test_a_backbone_without_tokens_is_refused() -> None:
    backbone = Running()
    backbone.width = 7
    with pytest.raises(InputError, match="no token embedding as wide"):
        MaskedSpec().build(Letters(), backbone)


def test_default_ratio_and_bad_ratios() -> None:
    objective = MaskedSpec().build(Letters(), Running())
    assert isinstance(objective, MaskedTokens)
    assert objective.ratio == 0.3
    with pytest.raises(InputError, match="ratio"):
        MaskedSpec.parse({"ratio": 1.5}, "objective")


def test_objectives_are_told_apart_by_kind() -> None:
    adapter = TypeAdapter(ObjectiveSpec)
    assert adapter.validate_python({"kind": "autoregressive"}) == AutoregressiveSpec()
    assert adapter.validate_python({"kind": "masked", "ratio": 0.2}) == MaskedSpec(ratio=0.2)
    with pytest.raises(ValueError, match=r"masked.*autoregressive"):
        adapter.validate_python({"kind": "contrastive"})


def test_the_same_seed_builds_the_same_head() -> None:
    def head(seed: int) -> torch.Tensor:
        objective = AutoregressiveSpec().build(Letters(), Running(causal=True), seed)
        assert isinstance(objective, Autoregressive)
        return objective.dense.weight

    assert torch.equal(head(3), head(3))
    assert not torch.equal(head(3), head(4))
