"""Folders out of exapt and into it, against transformers' own ModernBERT."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones import Transformer, TransformerSpec
from exapt.batch import Batch, offsets_of, pad
from exapt.domains import DnaSpec, Domain, Inputs, ProteinSpec, TextSpec, from_arrays
from exapt.errors import InputError
from exapt.integrations.huggingface import export_huggingface, import_huggingface
from exapt.objectives import AutoregressiveSpec, MaskedSpec

transformers = pytest.importorskip("transformers")

SPECIAL = {"pad": 0, "unknown": 1, "start": 2, "end": 3, "mask": 4}
INPUTS = Inputs(kind="tokens", vocabulary=31, special=SPECIAL, length=64)
KINDS = [{}, {"local": 8, "global_every": 3}, {"causal": True}, {"causal": True, "local": 8, "global_every": 2}]
CORPUS = ["The cat sat on the mat.", "A dog barked: at the cat!", "Cats and dogs, mats and logs"] * 10
SEQUENCES = ["ACGTACGTTTGACCA", "GGGTTTACACAC", "ACACACGTGTGTAACCGGTT"] * 10


class Head(nn.Module):
    """A head of ModernBERT's form, as the masked and autoregressive objectives have."""

    def __init__(self, width: int, vocabulary: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, width, bias=False)
        self.norm = nn.LayerNorm(width, bias=False)
        self.bias = nn.Parameter(torch.randn(vocabulary))
        nn.init.normal_(self.norm.weight, 1.0, 0.1)

    def forward(self, elements: Tensor, backbone: Transformer) -> Tensor:
        assert backbone.embedding is not None
        return F.linear(self.norm(F.gelu(self.dense(elements))), backbone.embedding.weight, self.bias)


def ours(options: dict[str, Any], inputs: Inputs = INPUTS) -> tuple[Transformer, Head]:
    spec = TransformerSpec.parse({"width": 32, "depth": 5, "heads": 2, "hidden": 40, **options})
    backbone = spec.build(inputs, 0).eval()
    torch.manual_seed(0)
    for norm in (m for m in backbone.modules() if isinstance(m, nn.LayerNorm)):
        nn.init.normal_(norm.weight, 1.0, 0.1)
    return backbone, Head(32, inputs.vocabulary)


def tokens(lengths: tuple[int, ...] = (40, 23, 1)) -> Batch:
    ids = torch.randint(5, 31, (sum(lengths),), generator=torch.Generator().manual_seed(1))
    return Batch(ids, offsets_of(torch.tensor(lengths)))


@torch.no_grad()
def theirs(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Packed last hidden states and, where the model has a head, logits."""
    ids, real = pad(batch.inputs, batch.offsets)
    out = model(input_ids=ids, attention_mask=real.long(), output_hidden_states=True)
    hidden = out.last_hidden_state if "last_hidden_state" in out else out.hidden_states[-1]
    return hidden[real], out.logits[real] if "logits" in out else torch.zeros(0)


def opened(auto: Any, folder: Path) -> Any:
    """A model from a folder, with nothing missing and nothing left over."""
    model, report = auto.from_pretrained(folder, output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    return model.eval()


def whole_auto(backbone: Transformer) -> Any:
    return transformers.AutoModelForCausalLM if backbone.causal else transformers.AutoModelForMaskedLM


@pytest.mark.parametrize("options", KINDS)
def test_transformers_opens_what_we_write(options: dict[str, Any], tmp_path: Path) -> None:
    backbone, head = ours(options)
    batch = tokens()
    export_huggingface(backbone, tmp_path, head)
    elements = backbone(batch).elements
    for auto in (transformers.AutoModel, whole_auto(backbone)):
        model, report = auto.from_pretrained(tmp_path, output_loading_info=True)
        assert not report["missing_keys"] and not report["mismatched_keys"]
        hidden, logits = theirs(model.eval(), batch)
        torch.testing.assert_close(hidden, elements, atol=1e-4, rtol=1e-4)
        if len(logits):
            assert not report["unexpected_keys"]
            torch.testing.assert_close(logits, head(elements, backbone), atol=1e-4, rtol=1e-4)
    assert type(model).__name__ == json.loads((tmp_path / "config.json").read_text())["architectures"][0]


@pytest.mark.parametrize("options", KINDS)
def test_a_backbone_alone(options: dict[str, Any], tmp_path: Path) -> None:
    backbone, _ = ours(options)
    export_huggingface(backbone, tmp_path)
    hidden, _ = theirs(opened(transformers.AutoModel, tmp_path), tokens())
    torch.testing.assert_close(hidden, backbone(tokens()).elements, atol=1e-4, rtol=1e-4)
    back = import_huggingface(tmp_path)
    assert back.head is None and back.report.full and back.report.share == 1
    assert torch.equal(back.backbone(tokens()).elements, backbone(tokens()).elements)
    assert back.spec.rules() == backbone.spec.rules()


def modernbert(causal: bool, **options: Any) -> Any:
    """A ModernBERT of transformers' own making, with weights large enough to matter."""
    kind = "ModernBertDecoder" if causal else "ModernBert"
    shape = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48}
    ids = {"pad_token_id": 0, "bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
    config = getattr(transformers, f"{kind}Config")(vocab_size=31, initializer_range=0.2, **shape, **ids, **options)
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM" if causal else f"{kind}ForMaskedLM")(config).eval()
    nn.init.normal_(model.decoder.bias)
    return model


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("local", [6, 128])
def test_we_open_what_transformers_writes(causal: bool, local: int, tmp_path: Path) -> None:
    model = modernbert(causal, local_attention=local)
    model.save_pretrained(tmp_path)
    found = import_huggingface(tmp_path)
    assert found.spec.causal == causal and found.spec.local == local and found.spec.global_every == 3
    assert found.backbone.inputs.special["end"] == 3
    hidden, logits = theirs(model, tokens())
    elements = found.backbone.eval()(tokens()).elements
    torch.testing.assert_close(elements, hidden, atol=1e-4, rtol=1e-4)
    head = Head(32, 31)
    assert found.head is not None
    head.load_state_dict(found.head)
    torch.testing.assert_close(head(elements, found.backbone), logits, atol=1e-4, rtol=1e-4)


def test_there_and_back(tmp_path: Path) -> None:
    backbone, head = ours({"local": 8})
    export_huggingface(backbone, tmp_path, head)
    found = import_huggingface(tmp_path)
    for name, tensor in backbone.state_dict().items():
        assert torch.equal(found.backbone.state_dict()[name], tensor), name
    assert found.head is not None
    assert all(torch.equal(found.head[name], tensor) for name, tensor in head.state_dict().items())


def test_an_older_config(tmp_path: Path) -> None:
    """As answerdotai/ModernBERT-base describes itself: no layer types, thetas of their own."""
    backbone, _ = ours({"local": 8, "theta_global": 1000.0})
    export_huggingface(backbone, tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for key in ("layer_types", "rope_parameters", "dtype"):
        del config[key]
    path.write_text(json.dumps(config))
    assert import_huggingface(tmp_path).spec.rules() == backbone.spec.rules()


def edit(folder: Path, changes: dict[str, Any]) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"model_type": "bert"}, "model_type"),
        ({"norm_bias": True}, "norm_bias"),
        ({"hidden_activation": "silu"}, "hidden_activation"),
        ({"layer_types": ["full_attention"] * 2 + ["sliding_attention"] * 3}, "layer_types"),
        ({"rope_parameters": {"full_attention": {"rope_type": "yarn", "rope_theta": 1.0}}}, "rope_type"),
        ({"num_hidden_layers": 4, "layer_types": ["full_attention"] * 4}, "left over"),
        ({"num_hidden_layers": 6, "layer_types": ["full_attention"] * 6}, "missing"),
        ({"vocab_size": 32}, "another shape"),
    ],
)
def test_anything_else_is_refused(changes: dict[str, Any], word: str, tmp_path: Path) -> None:
    backbone, head = ours({})
    export_huggingface(backbone, tmp_path, head)
    edit(tmp_path, changes)
    with pytest.raises(InputError, match=word):
        import_huggingface(tmp_path)


def test_bad_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    backbone, head = ours({})
    export_huggingface(backbone, tmp_path, head)
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    save_file({k: v for k, v in tensors.items() if k != "head.norm.weight"}, path)
    with pytest.raises(InputError, match="head is not whole"):
        import_huggingface(tmp_path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="safetensors"):
        import_huggingface(tmp_path)
    path.rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="pickle"):
        import_huggingface(tmp_path)
    with pytest.raises(InputError, match=r"config\.json"):
        import_huggingface(tmp_path / "nowhere")


def test_pictures_have_no_form_there(tmp_path: Path) -> None:
    backbone = TransformerSpec(width=32, heads=2).build(Inputs(kind="pictures", channels=1, patch=4), 0)
    with pytest.raises(InputError, match="tokens"):
        export_huggingface(backbone, tmp_path)


@pytest.mark.parametrize("causal", [False, True])
def test_what_was_pretrained_goes_out_whole(causal: bool, tmp_path: Path) -> None:
    """Our own objectives' heads give transformers' logits."""
    domain = DOMAINS[0][0]
    backbone = TransformerSpec(width=32, heads=2, depth=2, causal=causal).build(domain.inputs, 0)
    objective: Any = (AutoregressiveSpec() if causal else MaskedSpec()).build(domain, backbone, seed=0)
    nn.init.normal_(objective.bias)
    export_huggingface(SimpleNamespace(backbone=backbone, objective=objective, domain=domain), tmp_path)
    given = transformers.AutoTokenizer.from_pretrained(tmp_path)("the cat sat", return_tensors="pt")
    batch = Batch(given["input_ids"][0], torch.tensor([0, given["input_ids"].shape[1]]))
    logits = opened(whole_auto(backbone), tmp_path)(**given).logits[0]
    torch.testing.assert_close(logits, objective.logits(backbone, backbone(batch).elements), atol=1e-4, rtol=1e-4)


TEXTS = ["The dog sat.", "cat?! é", " two  spaces ", "A\nline"]
GENES = ["ACGTACGTACGTT", "acgtuNNRAC", "A", "ACGTNACGTACGTAC" * 50]
DOMAINS = [
    (TextSpec(vocabulary=300, length=40).build(from_arrays(CORPUS)), TEXTS),
    (TextSpec(vocabulary=300, length=40, lower=True).build(from_arrays(CORPUS)), TEXTS),
    (TextSpec(tokens="characters", length=40).build(from_arrays(CORPUS)), TEXTS),
    (TextSpec(tokens="characters", length=40, lower=True).build(from_arrays(CORPUS)), TEXTS),
    (DnaSpec(length=40).build(), GENES),
    (DnaSpec(tokens="kmer", k=3, length=40).build(), GENES),
    (DnaSpec(tokens="bpe", vocabulary=40, length=40).build(from_arrays(SEQUENCES)), GENES),
    (ProteinSpec(length=40).build(), ["MKVLAXW", "mkvBZ", "ACDEFGHIKLMNPQRSTVWY"]),
]


@pytest.mark.parametrize(("domain", "texts"), DOMAINS, ids=lambda value: getattr(value, "element", ""))
def test_tokenizers_give_the_same_ids(domain: Any, texts: list[str], tmp_path: Path) -> None:
    backbone = TransformerSpec(width=32, heads=2, depth=1).build(domain.inputs, 0)
    export_huggingface(backbone, tmp_path, domain=domain)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in texts:
        expected = domain.encode(text)
        expected = np.concatenate([[2], expected, [3]]) if domain.ends else expected
        assert tokenizer(text)["input_ids"] == expected.tolist(), text
    assert len(tokenizer) == domain.inputs.vocabulary
    assert [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.mask_token_id] == [0, 1, 4]
    assert tokenizer.model_max_length == 40


def test_a_mask_can_be_filled(tmp_path: Path) -> None:
    """The folder works end to end: text with [MASK] in, logits out, the same as ours."""
    domain: Domain = DOMAINS[2][0]
    backbone, head = ours({}, domain.inputs)
    export_huggingface(backbone, tmp_path, head, domain)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    given = tokenizer("the c[MASK]t", return_tensors="pt")
    assert given["input_ids"][0, -3] == 4
    logits = opened(transformers.AutoModelForMaskedLM, tmp_path)(**given).logits
    batch = Batch(given["input_ids"][0], torch.tensor([0, given["input_ids"].shape[1]]))
    torch.testing.assert_close(logits[0], head(backbone(batch).elements, backbone), atol=1e-4, rtol=1e-4)
