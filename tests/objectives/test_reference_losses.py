"""The same weights in transformers' models give the same losses and the same gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from objective_standins import Letters, letters_batch

from exapt.backbones import Transformer, TransformerSpec
from exapt.batch import Batch, pad
from exapt.integrations.huggingface import export_huggingface
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.objectives.tokens import TokenObjective

transformers = pytest.importorskip("transformers")

LENGTHS = [9, 1, 30, 16]
VOCABULARY = 40


def built(causal: bool) -> tuple[Letters, Transformer, TokenObjective]:
    domain = Letters(VOCABULARY, length=32)
    backbone = TransformerSpec(size="nano", depth=3, causal=causal, local=8).build(domain.inputs, seed=0)
    spec = AutoregressiveSpec() if causal else MaskedSpec()
    objective = spec.build(domain, backbone, seed=1)
    assert isinstance(objective, TokenObjective)
    torch.nn.init.normal_(objective.bias, generator=torch.Generator().manual_seed(2))
    return domain, backbone, objective


def their_loss(model: Any, batch: Batch, labels: torch.Tensor) -> torch.Tensor:
    ids, real = pad(batch.inputs, batch.offsets)
    padded = pad(labels, batch.offsets)[0].where(real, -100)
    return model(input_ids=ids, attention_mask=real.long(), labels=padded).loss


def compare(
    ours: torch.Tensor, theirs: torch.Tensor, backbone: Transformer, objective: TokenObjective, model: Any
) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    ours.backward()
    theirs.backward()
    assert backbone.embedding is not None
    embedding = model.model.embeddings.tok_embeddings.weight.grad
    torch.testing.assert_close(backbone.embedding.weight.grad, embedding, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(objective.bias.grad, model.decoder.bias.grad, rtol=1e-3, atol=1e-6)
    first = model.model.layers[0].mlp.Wi.weight.grad
    torch.testing.assert_close(backbone.stack.layers[0].mlp.Wi.weight.grad, first, rtol=1e-3, atol=1e-6)


def test_masked_loss_and_gradients_are_those_of_modernbert(tmp_path: Path) -> None:
    domain, backbone, objective = built(causal=False)
    export_huggingface(backbone, tmp_path, objective)
    model = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path).train()
    batch = letters_batch(LENGTHS, vocabulary=VOCABULARY)
    masked = domain.mask(batch, 0.3, torch.Generator().manual_seed(7))
    labels = torch.full_like(batch.inputs, -100).index_copy(0, masked.where, masked.target)
    ours = objective(backbone, batch, torch.Generator().manual_seed(7)).value
    compare(ours, their_loss(model, masked.batch, labels), backbone, objective, model)


def test_autoregressive_loss_and_gradients_are_those_of_the_modernbert_decoder(tmp_path: Path) -> None:
    _, backbone, objective = built(causal=True)
    export_huggingface(backbone, tmp_path, objective)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path).train()
    batch = letters_batch(LENGTHS, vocabulary=VOCABULARY)
    ours = objective(backbone, batch, torch.Generator()).value
    compare(ours, their_loss(model, batch, batch.inputs), backbone, objective, model)
