"""Both strands through one network: equivariance to 1e-10, by element, pooled, and in the masked head."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.backbones import Strands, StrandsSpec
from exapt.batch import Batch, offsets_of
from exapt.domains import DnaSpec, ProteinSpec, from_arrays
from exapt.errors import InputError
from exapt.objectives import AutoregressiveSpec, MaskedSpec
from exapt.objectives.masked import MaskedTokens
from exapt.training.pretrain import pretrain
from exapt.training.pretrained import load_pretrained
from exapt.training.spec import TrainingSpec

DOMAIN = DnaSpec(length=64).build()
KMERS = DnaSpec(tokens="kmer", k=2, length=64).build()
NETWORKS: list[dict[str, Any]] = [
    {"kind": "transformer", "width": 16, "depth": 2, "heads": 2, "hidden": 24},
    {"kind": "dilated", "width": 16, "depth": 3, "kernel": 5},
]
LENGTHS = [7, 12, 1, 0, 12]


def network(join: str = "mean", of: dict[str, Any] = NETWORKS[1], domain: Any = DOMAIN, seed: int = 0) -> Strands:
    return StrandsSpec.parse({"of": of, "join": join}).build(domain.inputs, seed).double().eval()


def examples(vocabulary: int = 9) -> Batch:
    rng = torch.Generator().manual_seed(0)
    return Batch(torch.randint(4, vocabulary, (sum(LENGTHS),), generator=rng), offsets_of(torch.tensor(LENGTHS)))


def turned(values: Tensor, offsets: Tensor) -> Tensor:
    """Each example's elements in the other order, one at a time."""
    return torch.cat([part.flip(0) for part in values.split(offsets.diff().tolist())])


def other_strand(batch: Batch, domain: Any = DOMAIN) -> Batch:
    ids = torch.cat([domain.reverse_complement(ids) for ids in batch.inputs.split(batch.lengths.tolist())])
    return Batch(ids, batch.offsets)


@pytest.mark.parametrize("of", NETWORKS)
@pytest.mark.parametrize("domain", [DOMAIN, KMERS])
def test_elements_turn_with_the_strand(of: dict[str, Any], domain: Any) -> None:
    batch = examples(domain.inputs.vocabulary)
    other = other_strand(batch, domain)
    for join in ("mean", "channels", "evaluation"):
        backbone = network(join, of, domain)
        here, there = backbone(batch), backbone(other)
        wanted = turned(there.elements, batch.offsets)
        if join == "channels":
            first, second = wanted.chunk(2, 1)
            wanted = torch.cat([second, first], 1)
        torch.testing.assert_close(here.elements, wanted, atol=1e-10, rtol=0)
        assert here.elements.shape == (len(batch.inputs), backbone.width)


@pytest.mark.parametrize("of", NETWORKS)
def test_pooled_features_are_those_of_either_strand(of: dict[str, Any]) -> None:
    batch = examples()
    for join in ("mean", "evaluation"):
        backbone = network(join, of)
        for how in ("mean", "max", "sum"):
            pooled = [backbone(b).pooled(how) for b in (batch, other_strand(batch))]
            torch.testing.assert_close(*pooled, atol=1e-10, rtol=0)
    halves = [network("channels", of)(b).pooled("mean") for b in (batch, other_strand(batch))]
    torch.testing.assert_close(halves[0], halves[1].roll(16, 1), atol=1e-10, rtol=0)
    plain = network("mean", of).inner
    moved = (plain(batch).pooled() - plain(other_strand(batch)).pooled()).abs().max()
    assert moved > 1e-2, "the network inside is not invariant by itself"


@pytest.mark.parametrize("join", ["mean", "channels", "evaluation"])
@pytest.mark.parametrize("domain", [DOMAIN, KMERS])
def test_the_masked_head_gives_the_complements_scores(join: str, domain: Any) -> None:
    backbone = network(join, domain=domain)
    objective = MaskedSpec().build(domain, backbone, 1).double()
    assert isinstance(objective, MaskedTokens)
    torch.nn.init.normal_(objective.bias, generator=torch.Generator().manual_seed(2))
    batch = examples(domain.inputs.vocabulary)
    here = objective.logits(backbone, backbone.for_tokens(batch))
    there = objective.logits(backbone, backbone.for_tokens(other_strand(batch, domain)))
    wanted = turned(there, batch.offsets)[:, torch.tensor(domain.inputs.complement)]
    torch.testing.assert_close(here, wanted, atol=1e-10, rtol=0)
    target = batch.inputs
    loss = objective.prediction(backbone, backbone.for_tokens(batch), target)
    naive = torch.nn.functional.cross_entropy(here, target)
    torch.testing.assert_close(loss.value, naive)


def test_one_reading_by_hand() -> None:
    backbone, batch = network("channels"), examples()
    for at in range(len(batch)):
        one = batch.select([at])
        first = backbone.inner(one).elements
        second = backbone.inner(other_strand(one)).elements.flip(0) if len(one.inputs) else first
        mine = backbone(batch).elements[batch.offsets[at] : batch.offsets[at + 1]]
        torch.testing.assert_close(mine, torch.cat([first, second], 1), atol=1e-10, rtol=0)


def test_positions_run_backwards_on_the_other_strand() -> None:
    backbone, batch = network("mean", NETWORKS[0]), examples()
    given = Batch(batch.inputs, batch.offsets, positions=batch.places() + 3)
    torch.testing.assert_close(backbone(given).elements, backbone(batch).elements, atol=1e-5, rtol=1e-5)


def test_evaluation_reads_one_strand_in_training() -> None:
    backbone, batch = network("evaluation").train(), examples()
    assert torch.equal(backbone(batch).elements, backbone.inner(batch).elements)
    assert backbone.for_tokens(batch).shape == (len(batch.inputs), 16)
    backbone.eval()
    assert backbone.for_tokens(batch).shape == (len(batch.inputs), 32)


def test_no_weight_more() -> None:
    backbone = network("channels")
    assert backbone.size() == backbone.inner.size()
    held = [p for block in backbone.blocks for p in block.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(backbone.parameters()))
    assert not [name for name in backbone.state_dict() if "complement" in name], "what the domain knows is not saved"
    backbone(examples()).elements.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in backbone.parameters())


@pytest.mark.parametrize("join", ["mean", "channels", "evaluation"])
def test_pretrained_saved_and_loaded(join: str, tmp_path: Any) -> None:
    rng = np.random.default_rng(0)
    source = from_arrays(["".join(rng.choice(list("ACGT"), 40)) for _ in range(40)])
    spec = StrandsSpec.parse({"of": NETWORKS[1], "join": join})
    training = TrainingSpec(steps=4, batch=8, holdout=0.1)
    done = pretrain(source, DnaSpec(length=40), spec, MaskedSpec(), training, tmp_path, progress=False)
    again = load_pretrained(tmp_path).backbone
    assert isinstance(again, Strands)
    batch = examples()
    torch.testing.assert_close(done.backbone.eval()(batch).elements, again.eval()(batch).elements)
    torch.testing.assert_close(
        again(batch).elements.sum(0)[:8],
        again(other_strand(batch)).elements.sum(0).roll(-16 * (join == "channels"))[:8],
    )


def test_refusals() -> None:
    corpus = ["".join(np.random.default_rng(i).choice(list("ACGT"), 100)) for i in range(9)]
    pairs = DnaSpec(tokens="bpe", vocabulary=32).build(from_arrays(corpus))
    with pytest.raises(InputError, match="byte-pair tokens are cut from one strand"):
        StrandsSpec().build(pairs.inputs)
    with pytest.raises(InputError, match="no reverse complement"):
        StrandsSpec().build(ProteinSpec().build().inputs)
    with pytest.raises(InputError, match="the other strand shows what comes next"):
        StrandsSpec.parse({"of": {"kind": "dilated", "causal": True}}, "backbone")
    with pytest.raises(InputError, match="autoregressive needs"):
        AutoregressiveSpec().build(DOMAIN, network())
