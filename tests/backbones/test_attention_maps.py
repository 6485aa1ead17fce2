"""Maps of attention: against the softmax written out, for our transformer and for a model of ESM-2's kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from exapt.backbones import HubSpec, TransformerSpec
from exapt.backbones.attention_maps import attention_maps, corrected
from exapt.backbones.rotary import rotate, turns
from exapt.domains import ProteinSpec, from_arrays
from exapt.errors import InputError
from protein_standins import ESM, esm_folder

PROTEIN = ProteinSpec(length=24).build()


def batch_of(*sequences: str):
    return PROTEIN.collate(list(PROTEIN.read(from_arrays(list(sequences)))))


def test_the_first_layers_maps_written_out() -> None:
    network = TransformerSpec(width=16, depth=1, heads=2, hidden=24).build(PROTEIN.inputs, seed=0).eval()
    batch = batch_of("MKVACDEF")
    with torch.no_grad():
        (maps,) = attention_maps(network, batch)
        elements, _ = network.embed(batch)
        layer = network.stack.layers[0]
        queries, keys, _ = layer.attn.Wqkv(layer.attn_norm(elements)).view(10, 3, 2, 8).permute(1, 2, 0, 3)
        cos, sin = turns(torch.arange(10.0)[:, None], 8, network.spec.theta_global)
        for head in range(2):
            turned = [rotate(part[head], cos, sin) for part in (queries, keys)]
            assert torch.allclose(maps[head], (turned[0] @ turned[1].T / 8**0.5).softmax(-1), atol=1e-5)


def test_maps_do_not_depend_on_who_shares_the_batch_and_sum_to_one() -> None:
    network = TransformerSpec(width=16, depth=2, heads=2, hidden=24, local=6).build(PROTEIN.inputs, seed=0).eval()
    with torch.no_grad():
        together = list(attention_maps(network, batch_of("MKVACDEF", "GG")))
        alone = list(attention_maps(network, batch_of("GG")))
    assert [m.shape for m in together] == [(4, 10, 10), (4, 4, 4)]
    assert torch.equal(together[1], alone[0])
    assert torch.allclose(together[0].sum(-1), torch.ones(4, 10))
    assert network.stack.way is None


def test_apc_of_symmetric_maps() -> None:
    maps = torch.rand(2, 5, 5, dtype=torch.float64)
    found = corrected(maps)
    for one, wanted in zip(maps, found, strict=True):
        both = one + one.T
        for i in range(5):
            for j in range(5):
                shared = both[i].sum() * both[:, j].sum() / both.sum()
                assert float(wanted[i, j]) == pytest.approx(float(both[i, j] - shared))
    assert not corrected(torch.zeros(1, 3, 3)).any()


def test_an_esm_folder_speaks_the_domains_residues(tmp_path: Path) -> None:
    """Its features are those that the library gives for its own ids of the same residues."""
    import transformers

    network = HubSpec(path=str(esm_folder(tmp_path))).build(PROTEIN.inputs).eval()
    sequence = "MKVACDEFXW"
    own = torch.tensor([[0, *(ESM.index(c) if c != "X" else 3 for c in sequence), 2]])
    model = transformers.AutoModel.from_pretrained(tmp_path).eval()
    with torch.no_grad():
        wanted = model(input_ids=own).last_hidden_state[0]
        batch = batch_of(sequence, "MK")
        found = network(batch).elements[: len(sequence) + 2]
        assert torch.allclose(found, wanted, atol=1e-5)
        batch.inputs[3], own[0, 3] = PROTEIN.inputs.special["mask"], 32
        hidden = model(input_ids=own).last_hidden_state[0]
        assert torch.allclose(network(batch).elements[: len(sequence) + 2], hidden, atol=1e-5)


def test_an_esm_folders_attention(tmp_path: Path) -> None:
    network = HubSpec(path=str(esm_folder(tmp_path))).build(PROTEIN.inputs).eval()
    before = network.model.config._attn_implementation
    with torch.no_grad():
        maps = list(attention_maps(network, batch_of("MKVACDEF", "GG")))
    assert [m.shape for m in maps] == [(4, 10, 10), (4, 4, 4)]
    assert torch.allclose(maps[0].sum(-1), torch.ones(4, 10), atol=1e-5)
    assert network.model.config._attn_implementation == before


def test_networks_without_attention_are_refused() -> None:
    from exapt.backbones.base import Backbone

    class Plain(Backbone):
        blocks = ()

        def forward(self, batch):
            raise AssertionError

    with pytest.raises(InputError, match="no attention to read contacts from"):
        list(attention_maps(Plain(), batch_of("MK")))


def test_a_vocabulary_without_residues_is_refused(tmp_path: Path) -> None:
    from exapt.backbones.residues import residue_ids

    (tmp_path / "vocab.txt").write_text("<cls>\n<pad>\nhello")
    with pytest.raises(InputError, match="no token 'A' in its"):
        residue_ids(str(tmp_path))
    assert np.all([ESM.index(c) >= 4 for c in "ACDEFGHIKLMNPQRSTVWY"])
