"""A hub backbone's artifact needs no hub, and its scratch control starts from random weights, not from the hub's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from exapt.backbones import HubSpec
from exapt.domains import ProteinSpec, from_arrays
from exapt.objectives import MaskedSpec
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import load_pretrained
from exapt.training.spec import TrainingSpec

transformers = pytest.importorskip("transformers")

CHAINS = ["MKTAYIAKQR" * 2, "GAVLIMFWPS" * 2, "TCYNQDEKRH" * 2] * 4


def test_the_scratch_control_of_a_hub_backbone_is_random(tmp_path: Path) -> None:
    domain = ProteinSpec(length=24)
    size = domain.build(from_arrays(CHAINS)).inputs.vocabulary
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = transformers.BertConfig(vocab_size=size, pad_token_id=0, max_position_embeddings=32, **sizes)
    transformers.BertModel(config).save_pretrained(tmp_path / "hub")
    spec = TrainingSpec(steps=1, batch=4, holdout=0, lr=1e-6, device="cpu")
    hub = HubSpec(path=str(tmp_path / "hub"))
    pretrain(from_arrays(CHAINS), domain, hub, MaskedSpec(), spec, tmp_path / "run", progress=False)
    shutil.rmtree(tmp_path / "hub")
    loaded = load_pretrained(tmp_path / "run")
    fresh, other = loaded.fresh_backbone(seed=1), loaded.fresh_backbone(seed=2)
    matrices = [name for name, tensor in loaded.backbone.named_parameters() if tensor.ndim > 1]
    weights = [dict(net.named_parameters()) for net in (loaded.backbone, fresh, other)]
    assert matrices and not any(torch.equal(weights[0][name], weights[1][name]) for name in matrices)
    assert not any(torch.equal(weights[1][name], weights[2][name]) for name in matrices)
