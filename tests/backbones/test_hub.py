"""Hugging Face models as backbones: packed features equal the model's own, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from exapt.backbones import HubBackbone, HubSpec, TransformerSpec
from exapt.batch import Batch, offsets_of
from exapt.domains.base import Inputs
from exapt.errors import InputError

transformers = pytest.importorskip("transformers")

INPUTS = Inputs(kind="tokens", vocabulary=31, special={"pad": 0}, length=32)
SMALL = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 48, "vocab_size": 31}
MODELS: dict[str, dict[str, Any]] = {
    "Bert": SMALL | {"pad_token_id": 0},
    "Roberta": SMALL | {"pad_token_id": 1, "max_position_embeddings": 34},
    "ModernBert": SMALL
    | {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3, "cls_token_id": 2, "sep_token_id": 3},
    "GPT2": {"n_embd": 32, "n_layer": 3, "n_head": 2, "vocab_size": 31, "bos_token_id": 1, "eos_token_id": 2},
    "Llama": SMALL | {"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2},
    "T5": {"d_model": 32, "num_layers": 3, "num_heads": 2, "d_ff": 48, "d_kv": 16, "vocab_size": 31},
}


def save(kind: str, folder: Path, **changes: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**MODELS[kind], **changes)
    model = getattr(transformers, f"{kind}Model")(config).eval()
    model.save_pretrained(folder)
    return model


def tokens(lengths: tuple[int, ...] = (9, 0, 30, 1)) -> Batch:
    ids = torch.randint(5, 31, (sum(lengths),), generator=torch.Generator().manual_seed(1))
    return Batch(ids, offsets_of(torch.tensor(lengths)))


@pytest.mark.parametrize("kind", MODELS)
def test_features_are_the_models_own(kind: str, tmp_path: Path) -> None:
    model = save(kind, tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS).eval()
    batch = tokens()
    features = backbone(batch)
    assert features.elements.shape == (40, backbone.width)
    encoder = model.get_encoder() if kind == "T5" else model
    for b in range(len(batch)):
        start, stop = batch.offsets[b : b + 2].tolist()
        if stop > start:
            alone = encoder(input_ids=batch.inputs[None, start:stop]).last_hidden_state[0]
            torch.testing.assert_close(features.elements[start:stop], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", MODELS)
def test_blocks_hold_every_parameter_once(kind: str, tmp_path: Path) -> None:
    save(kind, tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS)
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert {id(p) for p in held} == {id(p) for p in backbone.parameters()}
    assert len(held) == len(list(backbone.parameters()))
    assert len(backbone.blocks) == 3 + 2
    assert any(p is backbone.embedding.weight for p in backbone.blocks[0].parameters())
    assert backbone.causal == (kind in ("GPT2", "Llama"))


def test_every_weight_learns(tmp_path: Path) -> None:
    save("Bert", tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS)
    backbone(tokens()).elements.square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in backbone.parameters()), "no pooler is left"


def test_nothing_in_nothing_out(tmp_path: Path) -> None:
    save("Bert", tmp_path)
    backbone = HubSpec(path=str(tmp_path)).build(INPUTS)
    assert backbone(tokens((0, 0))).elements.shape == (0, 32)


def test_fresh_weights(tmp_path: Path) -> None:
    save("Bert", tmp_path)
    spec = HubSpec(path=str(tmp_path))
    state = torch.get_rng_state()
    one, same, other = (spec.fresh(INPUTS, seed) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding.weight, other.embedding.weight)
    assert not torch.equal(one.embedding.weight, spec.build(INPUTS).embedding.weight)
    assert spec.fresh(replace(INPUTS, vocabulary=50), 0).embedding.num_embeddings == 50


def test_the_built_spec_needs_no_folder(tmp_path: Path) -> None:
    """A checkpoint of ours holds the architecture, so that it loads where the folder is gone."""
    save("Roberta", tmp_path / "model")
    backbone = HubSpec(path=str(tmp_path / "model")).build(INPUTS)
    spec = HubSpec.parse(json.loads(json.dumps(backbone.spec.plain())))
    (tmp_path / "model").rename(tmp_path / "moved")
    again = spec.build(INPUTS, seed=0)
    again.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(again.eval()(tokens()).elements, backbone.eval()(tokens()).elements)


def test_weights_that_did_not_arrive_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    save("Bert", tmp_path)
    path = tmp_path / "model.safetensors"
    kept = {k: v for k, v in load_file(path).items() if "layer.1.output.dense" not in k}
    save_file(kept, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"2 of the model's weights .* such as encoder\.layer\.1\.output"):
        HubSpec(path=str(tmp_path)).build(INPUTS)


def test_pickles_are_refused(tmp_path: Path) -> None:
    save("Bert", tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        HubSpec(path=str(tmp_path)).build(INPUTS)
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(InputError, match="no weights"):
        HubSpec(path=str(tmp_path)).build(INPUTS)


@pytest.mark.parametrize(
    ("inputs", "word"),
    [
        (replace(INPUTS, vocabulary=40), "knows 31 tokens"),
        (replace(INPUTS, length=600), "at most 512"),
        (Inputs(kind="pictures", channels=3, patch=4), "pictures"),
    ],
)
def test_a_domain_that_does_not_fit(inputs: Inputs, word: str, tmp_path: Path) -> None:
    save("Bert", tmp_path)
    with pytest.raises(InputError, match=word):
        HubSpec(path=str(tmp_path)).build(inputs)


def test_the_models_own_tokenizer_may_be_smaller(tmp_path: Path) -> None:
    """Models often have more rows than words, so that the size divides well."""
    save("Bert", tmp_path)
    words = {f"w{i}": i for i in range(28)}
    added = [{"id": 28, "content": "[X]"}]
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}, "added_tokens": added}))
    assert isinstance(HubSpec(path=str(tmp_path)).build(replace(INPUTS, vocabulary=29)), HubBackbone)


@pytest.mark.parametrize("content", [None, "not json", "{}", '{"model_type": "no-such-model"}'])
def test_what_is_no_model(content: str | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content)
    with pytest.raises(InputError, match=str(tmp_path)) as caught:
        HubSpec(path=str(tmp_path)).build(INPUTS)
    assert "\n" not in str(caught.value)


def test_importing_backbones_leaves_transformers_alone() -> None:
    code = "import sys, exapt.backbones; sys.exit('transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_transformers_and_hub_backbones_agree(tmp_path: Path) -> None:
    """The same specs under the two kinds of one union."""
    from pydantic import TypeAdapter

    from exapt.backbones import BackboneSpec

    adapter = TypeAdapter(BackboneSpec)
    assert isinstance(adapter.validate_python({"kind": "transformer"}), TransformerSpec)
    assert isinstance(adapter.validate_python({"kind": "hub", "path": "x"}), HubSpec)
