"""Taking out heads and neurons: exact where they gave nothing, importance against naive loops, smaller files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from adapt_standins import classify, halves, pictures, texts

from exapt.adaptation import FinetuneSpec, ProbeSpec, Start, fit, load_fitted
from exapt.adaptation.finetune import FinetuneFitted
from exapt.adaptation.shrinking import (
    importance_on,
    save_shrunk,
    shrink_fitted,
    shrink_folder,
    shrink_pretrained,
)
from exapt.adaptation.structured import Importance, by_magnitude, by_taylor, removed, shrink
from exapt.backbones import HubBackbone, Transformer, TransformerSpec
from exapt.batch import Batch
from exapt.domains.base import Dataset
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.training.pretrained import Pretrained, load_pretrained, save_pretrained
from exapt.training.trainable import Pretraining

SMALL: dict[str, Any] = {"rates": [0.003], "min_steps": 10, "max_steps": 10, "evaluations": 2}
HEADS, HEAD, HIDDEN = 4, 4, 24


def network(domain: Any, seed: int = 0, **more: Any) -> Transformer:
    return TransformerSpec(width=16, depth=2, heads=HEADS, hidden=HIDDEN, **more).build(domain.inputs, seed=seed).eval()


def batch_of(domain: Any, data: Dataset, count: int = 6) -> Batch:
    return domain.collate([data[i] for i in range(count)])


@torch.no_grad()
def silence(backbone: Transformer, heads: list[int], neurons: list[int]) -> None:
    """Make some heads and neurons of every layer give nothing, each in another way."""
    for number, layer in enumerate(backbone.stack.layers):
        for place, h in enumerate(heads):
            if (place + number) % 2:
                layer.attn.Wo.weight[:, h * HEAD : (h + 1) * HEAD] = 0
            else:
                layer.attn.Wqkv.weight[2 * 16 + h * HEAD : 2 * 16 + (h + 1) * HEAD] = 0
        for place, n in enumerate(neurons):
            kind = (place + number) % 3
            if kind == 0:
                layer.mlp.Wo.weight[:, n] = 0
            else:
                layer.mlp.Wi.weight[n + (HIDDEN if kind == 2 else 0)] = 0


@pytest.mark.parametrize("case", [classify, pictures, texts])
@pytest.mark.parametrize("local", [0, 4])
def test_without_units_that_gave_nothing_the_outputs_are_the_same(case: Any, local: int) -> None:
    start, _, data = case()
    backbone = network(start.domain, local=local)
    silence(backbone, [1, 2], [0, 3, 4, 11, 23])
    small = shrink(backbone, 2, HIDDEN - 5)
    batch = batch_of(start.domain, data)
    with torch.no_grad():
        one, other = backbone(batch).elements, small(batch).elements
    assert float((one - other).abs().max()) < 1e-6
    assert small.spec.shape[2:] == (2, HIDDEN - 5) and small.spec.head == HEAD
    assert small.size() < backbone.size()
    assert {tuple(p.shape) for n, p in small.named_parameters() if "Wqkv" in n} == {(3 * 2 * HEAD, 16)}


def test_removing_nothing_is_a_copy_and_the_original_is_left_alone() -> None:
    start, _, _ = classify()
    backbone = network(start.domain)
    before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
    same = removed(backbone, 0.0, heads=True)
    removed(backbone, 0.9, heads=True)
    assert all(torch.equal(tensor, backbone.state_dict()[name]) for name, tensor in before.items())
    assert all(torch.equal(tensor, same.state_dict()[name]) for name, tensor in before.items())


def test_the_most_important_units_stay_in_their_old_order() -> None:
    start, _, _ = classify()
    backbone = network(start.domain)
    heads = torch.tensor([[3.0, 9.0, 1.0, 9.0], [5.0, 1.0, 2.0, 3.0]])
    neurons = torch.arange(24.0).repeat(2, 1)
    small = shrink(backbone, 2, 3, Importance(heads, neurons))
    for number, kept in enumerate([[1, 3], [0, 3]]):
        rows = [h * HEAD + i for h in kept for i in range(HEAD)]
        old, new = backbone.stack.layers[number], small.stack.layers[number]
        assert torch.equal(new.attn.Wo.weight, old.attn.Wo.weight[:, rows])
        assert torch.equal(new.attn.Wqkv.weight[8:16], old.attn.Wqkv.weight[16:32][rows])
        assert torch.equal(new.mlp.Wo.weight, old.mlp.Wo.weight[:, 21:])
        assert torch.equal(new.mlp.Wi.weight, torch.cat([old.mlp.Wi.weight[21:24], old.mlp.Wi.weight[45:]]))


@torch.no_grad()
def test_magnitude_against_a_loop() -> None:
    start, _, _ = classify()
    backbone = network(start.domain)
    found = by_magnitude(backbone)
    for number, layer in enumerate(backbone.stack.layers):
        for h in range(HEADS):
            rows = slice(h * HEAD, (h + 1) * HEAD)
            product = layer.attn.Wo.weight[:, rows] @ layer.attn.Wqkv.weight[32:][rows]
            assert float(found.heads[number, h]) == pytest.approx(float(torch.linalg.matrix_norm(product)), rel=1e-5)
        into, out = layer.mlp.Wi.weight, layer.mlp.Wo.weight
        each = [float(into[n].norm() * into[n + HIDDEN].norm() * out[:, n].norm()) for n in range(HIDDEN)]
        assert found.neurons[number].tolist() == pytest.approx(each, rel=1e-5)


@pytest.mark.parametrize("case", [classify, pictures])
def test_taylor_is_the_slope_of_the_loss_in_a_units_strength(case: Any) -> None:
    """|d loss / d strength| of one example at a time, by finite differences in float64, averaged over examples."""
    start, task, data = case()
    backbone = network(start.domain).double()
    head = task.head(16, 0).double()
    from exapt.adaptation.tuning import Tuning

    tuning = Tuning(backbone, head, task, None, None)
    singles = [start.domain.collate([data[i]]) for i in range(3)]
    singles = [b if not b.inputs.is_floating_point() else _double(b) for b in singles]
    found = by_taylor(tuning, singles)
    together = by_taylor(tuning, [_joined(start.domain, data)])
    assert torch.allclose(found.heads, together.heads, rtol=1e-4, atol=1e-8)
    for unit, columns in (("attn", slice(HEAD, 2 * HEAD)), ("mlp", slice(5, 6))):
        weight = getattr(backbone.stack.layers[1], unit).Wo.weight
        slopes = []
        for batch in singles:
            losses = []
            for strength in (1 + 1e-5, 1 - 1e-5):
                kept = weight.detach().clone()
                with torch.no_grad():
                    weight[:, columns] *= strength
                    losses.append(float(tuning.eval()(batch, torch.Generator()).value))
                    weight.copy_(kept)
            slopes.append(abs(losses[0] - losses[1]) / 2e-5)
        got = found.heads[1, 1] if unit == "attn" else found.neurons[1, 5]
        assert float(got) == pytest.approx(float(np.mean(slopes)), rel=1e-3, abs=1e-7)


def _double(batch: Batch) -> Batch:
    from dataclasses import replace

    return replace(batch, inputs=batch.inputs.double())


def _joined(domain: Any, data: Dataset) -> Batch:
    batch = batch_of(domain, data, 3)
    return _double(batch) if batch.inputs.is_floating_point() else batch


def test_taylor_of_an_objective_and_of_frozen_weights() -> None:
    start, _, data = pictures()
    backbone = network(start.domain)
    model = Pretraining(backbone, MaskedSpec().build(start.domain, backbone, seed=0), start.domain.augment).train()
    found = importance_on(model, start.domain, data)
    assert found.heads.shape == (2, HEADS) and found.neurons.shape == (2, HIDDEN)
    assert bool((found.neurons > 0).any()) and model.training
    assert all(p.grad is None for p in model.parameters())
    again = importance_on(model.requires_grad_(False), start.domain, data)
    assert torch.allclose(found.neurons, again.neurons)
    with pytest.raises(InputError, match="at least one batch"):
        by_taylor(model, [])


def test_taylor_tells_loud_from_useful() -> None:
    """What the last layer writes alike to every feature, the final norm takes off: loud neurons that do nothing."""
    start, task, data = classify(60)
    fitted = fit(FinetuneSpec.parse(SMALL), start, task, *halves(data, 40, 10)[:2], 0)
    assert isinstance(fitted, FinetuneFitted)
    tuning = fitted.tuning.copy()
    layer = tuning.backbone.stack.layers[-1]
    with torch.no_grad():
        layer.mlp.Wo.weight[:, :12] = 5.0
    magnitude = by_magnitude(tuning.backbone).neurons[-1]
    on_data = importance_on(tuning, start.domain, data).neurons[-1]
    assert float(magnitude[:12].min()) > float(magnitude[12:].max())
    assert float(on_data[:12].max()) < 1e-3 * float(on_data[12:].max())


def pretrained(tmp_path: Path, case: Any = pictures, objective: Any = None, **more: Any) -> tuple[Path, Pretrained]:
    start, _, _ = case()
    backbone = network(start.domain, **more)
    spec = objective or MaskedSpec()
    built = spec.build(start.domain, backbone, seed=0)
    folder = save_pretrained(tmp_path / "whole", start.domain, backbone, built, {"seed": 0}, specs={"objective": spec})
    return folder, load_pretrained(folder)


def test_a_checkpoint_becomes_a_smaller_one_that_loads_like_any_other(tmp_path: Path) -> None:
    folder, whole = pretrained(tmp_path)
    facts = shrink_folder(folder, tmp_path / "small", 0.5, heads=True)
    small = load_pretrained(tmp_path / "small")
    assert small.load_report["backbone"].full and small.load_report["objective"].full
    assert facts["heads"] == [4, 2] and facts["neurons"] == [24, 12]
    assert facts["bytes"][1] < 0.75 * facts["bytes"][0] and facts["parameters"][1] == small.backbone.size()
    assert small.record["shrunk"] == {"heads": 2, "neurons": 12}
    start, task, data = pictures()
    batch = batch_of(start.domain, data)
    loss = small.objective(small.backbone, batch, torch.Generator().manual_seed(0))
    assert bool(loss.value.isfinite())
    fresh = small.fresh_backbone(3)
    assert isinstance(fresh, Transformer) and fresh.spec == small.backbone.spec, "its control is as small"
    fitted = fit(FinetuneSpec.parse(SMALL), Start(small.domain, small.backbone), task, *halves(data)[:2], 0)
    assert not fitted.record["diverged"]
    on_data = shrink_pretrained(whole, 0.5, corpus=data)
    save_shrunk(on_data, tmp_path / "on-data")
    assert load_pretrained(tmp_path / "on-data").specs["backbone"]["hidden"] == 12


def test_a_fitted_model_becomes_a_smaller_one(tmp_path: Path) -> None:
    start, task, data = pictures(60)
    learn, choose, test = halves(data, 40, 10)
    fitted = fit(FinetuneSpec.parse(SMALL), start, task, learn, choose, 0)
    before = fitted.predict(test)
    fitted.save(tmp_path / "whole")
    facts = shrink_folder(tmp_path / "whole", tmp_path / "small", 0.5)
    small = load_fitted(tmp_path / "small")
    assert facts["bytes"][1] < facts["bytes"][0] and facts["heads"][0] == facts["heads"][1]
    assert small.predict(test).shape == before.shape
    same = shrink_fitted(fitted, 0.0, examples=learn)
    assert np.allclose(same.predict(test), before, atol=1e-6)
    on_data = shrink_fitted(fitted, 0.5, heads=True, examples=learn)
    assert np.array_equal(fitted.predict(test), before), "the whole model is left alone"
    tuned = fit(FinetuneSpec.parse(SMALL), Start(start.domain, on_data.backbone()), task, learn, choose, 0)
    assert load_fitted(tuned.save(tmp_path / "again")).predict(test).shape == before.shape


@pytest.mark.parametrize(("pattern", "heads"), [("neurons", 2), ("neurons+heads", 1)])
def test_a_fit_may_begin_smaller(pattern: str, heads: int, tmp_path: Path) -> None:
    start, task, data = pictures(60)
    learn, choose, test = halves(data, 40, 10)
    spec = FinetuneSpec.parse(SMALL | {"prune": {"pattern": pattern, "sparsity": 0.5}})
    fitted = fit(spec, start, task, learn, choose, 0)
    backbone = fitted.backbone()
    assert isinstance(backbone, Transformer) and backbone.spec.shape[2:] == (heads, 12)
    again = load_fitted(fitted.save(tmp_path / "model"))
    assert np.array_equal(again.predict(test), fitted.predict(test))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [False, True])
def test_a_pruned_network_still_opens_in_transformers(tmp_path: Path, causal: bool, heads: bool) -> None:
    transformers = pytest.importorskip("transformers")
    from exapt.integrations.huggingface import export_huggingface

    objective = AutoregressiveSpec() if causal else MaskedSpec()
    folder, _ = pretrained(tmp_path, texts, objective, causal=causal)
    shrink_folder(folder, tmp_path / "small", 0.5, heads=heads)
    small = load_pretrained(tmp_path / "small")
    export_huggingface(small, tmp_path / "hf")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "hf")
    assert config.intermediate_size == 12 and config.num_attention_heads == 4, "missing heads are there as zeros"
    theirs = transformers.AutoModel.from_pretrained(tmp_path / "hf", attn_implementation="eager").eval()
    ids = torch.tensor([[5, 6, 7, 8, 9, 10]])
    with torch.no_grad():
        expected = theirs(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[0]
        ours = small.backbone.eval()(Batch(ids[0], torch.tensor([0, 6]))).elements
    assert torch.allclose(ours, expected, atol=1e-5)


def test_heads_that_do_not_divide_the_width_are_not_exported(tmp_path: Path) -> None:
    from exapt.integrations.huggingface import export_huggingface

    start, _, _ = texts()
    backbone = TransformerSpec(width=16, depth=1, heads=3, hidden=8, head_width=12).build(start.domain.inputs, seed=0)
    with pytest.raises(InputError, match="3 heads of 12 features do not divide a width of 16"):
        export_huggingface(backbone, tmp_path / "hf")


def test_mistakes_are_refused(tmp_path: Path) -> None:
    start, task, data = pictures()
    backbone = network(start.domain)
    for heads, hidden in ((0, 4), (5, 4), (1, 0), (1, 25)):
        with pytest.raises(InputError, match="valid: 1 to 4 and 1 to 24"):
            shrink(backbone, heads, hidden)
    with pytest.raises(InputError, match="expected from 0 to below 1"):
        removed(backbone, 1.0)
    with pytest.raises(InputError, match="not HubBackbone"):
        removed(HubBackbone.__new__(HubBackbone), 0.5)
    probe = fit(ProbeSpec(), start, task, *halves(data)[:2], 0)
    with pytest.raises(InputError, match="a model of kind 'probe'; valid: finetune"):
        shrink_fitted(probe)
    folder, _ = pretrained(tmp_path)
    with pytest.raises(InputError, match="choose another one"):
        shrink_folder(folder, folder)
    with pytest.raises(InputError, match="no such folder"):
        shrink_folder(tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises(InputError, match="head_width 6 is not a multiple of 4"):
        TransformerSpec.parse({"head_width": 6})


def test_both_ways_of_attention_agree_with_fewer_heads() -> None:
    start, _, data = classify()
    small = shrink(network(start.domain), 3, 8)
    batch, found = batch_of(start.domain, data), {}
    for way in ("plain", "fused"):
        small.stack.way = way  # type: ignore[assignment]
        elements = small(batch).elements
        slopes = torch.autograd.grad(elements.square().sum(), list(small.parameters()))
        found[way] = [elements, *slopes]
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found["plain"], found["fused"], strict=True))
