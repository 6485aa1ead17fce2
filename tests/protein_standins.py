"""Small networks over residues, for tests of several floors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from exapt.backbones import TransformerSpec
from exapt.domains import ProteinSpec
from exapt.objectives import MaskedSpec

WILD = "MKVACDWWGF"
ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPQKNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
"""The tokens of ESM-2."""


def network(length: int = 32, seed: int = 0):
    """(domain, backbone, objective) of masked modelling, untrained."""
    domain = ProteinSpec(length=length).build()
    backbone = TransformerSpec(width=16, depth=2, heads=2, hidden=24).build(domain.inputs, seed=seed).eval()
    objective = MaskedSpec().build(domain, backbone, seed=seed).eval()
    with torch.no_grad():
        objective.bias.normal_(generator=torch.Generator().manual_seed(1))
    return domain, backbone, objective


def esm_folder(path: Path, masked: bool = False) -> Path:
    """A tiny untrained model of ESM-2's kind with its tokenizer's words, as transformers saves it."""
    transformers = pytest.importorskip("transformers")
    sizes = {"vocab_size": len(ESM), "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 24, "position_embedding_type": "rotary", "token_dropout": True}
    config = transformers.EsmConfig(**sizes, pad_token_id=1, mask_token_id=32, max_position_embeddings=40)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = transformers.EsmForMaskedLM(config) if masked else transformers.EsmModel(config)
    made.eval().save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(ESM))
    return path
