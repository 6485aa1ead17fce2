"""LoRA: nothing changes at the start, only low-rank parts are trained, and what is saved is a plain backbone."""

import builtins
import copy

import numpy as np
import pytest
import torch
from adapt_standins import classify, halves, small_start

from exapt.adaptation import FinetuneSpec, LoraSpec, fit, load_fitted
from exapt.adaptation.lora import merge
from exapt.domains import ProteinSpec, from_arrays
from exapt.errors import InputError

pytest.importorskip("peft")
QUICK = {"min_steps": 8, "max_steps": 8, "batch": 8, "evaluations": 2, "rates": [0.02], "probe_first": False}


def backbones():
    """Ours, and a small BERT from transformers."""
    domain = ProteinSpec(length=32).build()
    yield domain, small_start(domain).backbone
    transformers = pytest.importorskip("transformers")
    from exapt.backbones import HubSpec

    config = transformers.BertConfig(
        vocab_size=domain.inputs.vocabulary,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    described = config.to_dict() | {"model_type": "bert"}
    yield domain, HubSpec(path="none", pretrained=False, config=described).build(domain.inputs, seed=0)


def batch_of(domain):
    data = domain.read(from_arrays(["ACDEW", "WWA", "ACACACAC"]))
    return domain.collate([data[i] for i in range(3)])


@pytest.mark.parametrize("which", [0, 1])
def test_the_start_is_the_networks_own_and_merging_equals_what_was_trained(which):
    domain, backbone = list(backbones())[which]
    backbone.eval()
    batch, names = batch_of(domain), dict(backbone.named_parameters()).keys()
    before = backbone(batch).elements
    added = copy.deepcopy(backbone)
    LoraSpec(rank=3).insert(added, seed=0)
    added.eval()
    assert torch.equal(added(batch).elements, before)
    free = [name for name, p in added.named_parameters() if p.requires_grad]
    assert free and all("lora_" in name for name in free)
    with torch.no_grad():
        for name, p in added.named_parameters():
            if "lora_B" in name:
                p.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    trained = added(batch).elements
    assert not torch.allclose(trained, before, atol=1e-2)
    merged = merge(added)
    torch.testing.assert_close(merged(batch).elements, trained, atol=1e-5, rtol=1e-5)
    assert dict(merged.named_parameters()).keys() == names


def test_a_fit_trains_little_and_is_saved_plain(tmp_path):
    start, task, data = classify()
    train, valid, test = halves(data)
    fitted = fit(FinetuneSpec(**QUICK, lora=LoraSpec(rank=2)), start, task, train, valid, 0)
    whole = fit(FinetuneSpec(**QUICK), start, task, train, valid, 0)
    assert fitted.record["trained_parameters"] < whole.record["trained_parameters"] / 2
    assert fitted.record["distance"][0] == fitted.record["distance"][-1] == 0
    assert min(fitted.record["distance"][1:-1]) > 0
    for layer, old in zip(fitted.backbone().stack.layers, start.backbone.stack.layers, strict=True):
        change = (layer.attn.Wqkv.weight - old.attn.Wqkv.weight).detach()
        assert int(torch.linalg.matrix_rank(change, atol=1e-5)) <= 2
    again = load_fitted(fitted.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(test), fitted.predict(test))
    assert type(again.backbone()) is type(start.backbone)


def test_the_same_seed_gives_the_same_addition_and_the_global_generator_is_left_alone():
    domain = ProteinSpec(length=32).build()
    state = torch.random.get_rng_state()
    found = []
    for seed in (0, 0, 1):
        backbone = small_start(domain).backbone
        LoraSpec().insert(backbone, seed)
        found.append(next(p for n, p in backbone.named_parameters() if "lora_A" in n).detach().clone())
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert torch.equal(torch.random.get_rng_state(), state)


def test_targets_name_matrices_or_are_refused():
    backbone = small_start(ProteinSpec(length=32).build()).backbone
    assert LoraSpec(targets=["Wqkv"]).names(backbone) == [f"stack.layers.{i}.attn.Wqkv" for i in range(2)]
    with pytest.raises(InputError, match="name no matrix here; there are: Wi, Wo, Wqkv"):
        LoraSpec(targets=["q_proj"]).names(backbone)


def test_default_rates_are_ten_times_as_high():
    assert FinetuneSpec(lora=LoraSpec()).grid(64) == pytest.approx([10 * rate for rate in FinetuneSpec().grid(64)])


def test_without_peft_the_extra_is_named(monkeypatch):
    real = builtins.__import__

    def refuse(name, *rest):
        if name == "peft":
            raise ImportError
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputError, match=r"pip install 'exapt\[adapt\]'"):
        LoraSpec().insert(small_start(ProteinSpec(length=32).build()).backbone, 0)
