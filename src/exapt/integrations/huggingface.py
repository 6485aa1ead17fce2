"""Hugging Face folders out of exapt and into it: ModernBERT for masked models, its decoder for causal ones.

A folder written here opens with `AutoModel`, `AutoModelForMaskedLM` or `AutoModelForCausalLM`, and `AutoTokenizer`.
Weights are safetensors in both directions; nothing is loaded unless everything matches.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from exapt.backbones import SIZES, Backbone, Transformer, TransformerSpec
from exapt.backbones.layers import EPS
from exapt.domains.base import Domain, Inputs
from exapt.domains.tokens import TokenDomain
from exapt.errors import InputError
from exapt.files import atomic, make_folder, read_json, write_json
from exapt.integrations.vocabulary import write_tokenizer
from exapt.objectives.tokens import TokenObjective
from exapt.training.weights import PICKLES, LoadReport, load_into, room_for

ENCODER, DECODER = "modernbert", "modernbert-decoder"
HEADS = {ENCODER: "head", DECODER: "lm_head"}
"""What the head's first two layers are called there; the bias (V,) is `decoder.bias` in both."""
CLASSES = {
    (ENCODER, False): "ModernBertModel",
    (ENCODER, True): "ModernBertForMaskedLM",
    (DECODER, False): "ModernBertDecoderModel",
    (DECODER, True): "ModernBertDecoderForCausalLM",
}
BASE = SIZES["base"]
"""A config.json may leave out what it has in common with ModernBERT-base."""
WINDOW = 128
"""What the folder says of the width of local windows where no layer is local."""


def export_huggingface(
    pretrained: Any, folder: str | Path, objective: nn.Module | None = None, domain: Domain | None = None
) -> Path:
    """Write config.json, model.safetensors and, for a token domain, tokenizer.json and tokenizer_config.json.

    `pretrained` is a `Transformer`, or what `load_pretrained` gives (its objective and domain are then taken along).
    With a masked or autoregressive objective its head is written too, so that the language model opens whole; other
    objectives have none.
    Raises `InputError` for a backbone over pictures or from the hub, and where the folder cannot be written.
    """
    backbone = pretrained if isinstance(pretrained, Backbone) else pretrained.backbone
    own = getattr(pretrained, "objective", None)
    objective = objective or (own if isinstance(own, TokenObjective) else None)
    domain = domain or getattr(pretrained, "domain", None)
    if not isinstance(backbone, Transformer) or backbone.embedding is None:
        raise InputError(
            f"export: this {type(backbone).__name__} has no form of its own in Hugging Face's library; "
            "valid: backbone.kind=transformer over tokens"
        )
    folder = make_folder(Path(folder))
    tensors = _outward(backbone, objective)
    write_json(folder / "config.json", _config(backbone, objective is not None))
    _write(folder / "model.safetensors", tensors)
    if isinstance(domain, TokenDomain):
        write_tokenizer(domain, folder)
    return folder


class Imported(NamedTuple):
    """What a ModernBERT folder held, in exapt's form."""

    spec: TransformerSpec
    backbone: Transformer
    head: dict[str, Tensor] | None
    """`dense.weight`, `norm.weight` and `bias` of a masked or autoregressive objective; None where there is no head."""
    report: LoadReport
    """What matched; always all of it."""


def import_huggingface(folder: str | Path) -> Imported:
    """Read a local ModernBERT or ModernBERT-decoder folder.

    Raises `InputError` for another architecture or a variant of it, for pickled weights, and where any weight is
    missing, left over or of another shape.
    """
    folder = Path(folder).expanduser()
    config = read_json(folder / "config.json")
    spec, inputs = _spec(config, folder), _inputs(config)
    tensors = _read(folder)
    backbone = spec.build(inputs, seed=0)
    head = _take_head(tensors, HEADS[config["model_type"]], folder)
    if head and torch.equal(tensors.get("decoder.weight", _tokens(tensors)), _tokens(tensors)):
        tensors.pop("decoder.weight", None)
    report = load_into(backbone, _inward(tensors, spec))
    if not report.full:
        raise InputError(f"{folder}: not the whole of a ModernBERT: {report.sentence()}")
    return Imported(spec, backbone, head, report)


def _config(backbone: Transformer, whole: bool) -> dict[str, Any]:
    """config.json, in the words of transformers ≥ 5 with those of older versions beside them."""
    spec, inputs = backbone.spec, backbone.inputs
    width, depth, _, hidden = spec.shape
    heads = _heads(spec)
    kind, window = DECODER if spec.causal else ENCODER, spec.local or WINDOW
    kinds = ["sliding_attention" if rule.reach is not None else "full_attention" for rule in spec.rules()]
    special = inputs.special
    described = {
        "architectures": [CLASSES[kind, whole]],
        "model_type": kind,
        "vocab_size": inputs.vocabulary,
        "hidden_size": width,
        "num_hidden_layers": depth,
        "num_attention_heads": heads,
        "intermediate_size": hidden,
        "hidden_activation": "gelu",
        "max_position_embeddings": inputs.length or 8192,
        "norm_eps": EPS,
        "layer_types": kinds,
        "global_attn_every_n_layers": spec.global_every if spec.local else 1,
        "local_attention": window,
        "global_rope_theta": spec.theta_global,
        "local_rope_theta": spec.theta_local,
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": spec.theta_global},
            "sliding_attention": {"rope_type": "default", "rope_theta": spec.theta_local},
        },
        "embedding_dropout": spec.dropout,
        "attention_dropout": spec.dropout,
        "mlp_dropout": spec.dropout,
        "tie_word_embeddings": True,
        "dtype": "float32",
    }
    described |= dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False)
    ids = {"pad": "pad", "bos": "start", "cls": "start", "eos": "end", "sep": "end"}
    described |= {f"{theirs}_token_id": special.get(ours) for theirs, ours in ids.items()}
    return described | ({"sliding_window": window // 2} if spec.causal else {})


def _heads(spec: TransformerSpec) -> int:
    """How many heads their classes, which know no head_width, would take for this width; never fewer than ours."""
    width, _, heads, _ = spec.shape
    if width % spec.head or width // spec.head < heads:
        raise InputError(
            f"export: {heads} heads of {spec.head} features do not divide a width of {width}, as Hugging Face's "
            "ModernBERT needs; valid: a head_width that divides the width"
        )
    return width // spec.head


def _with_heads(name: str, tensor: Tensor, missing: int) -> Tensor:
    """An attention matrix with heads of zeros in the place of those removed: the outputs stay the same."""
    if name.endswith("attn.Wqkv.weight"):
        return torch.cat([nn.functional.pad(part, (0, 0, 0, missing)) for part in tensor.chunk(3)])
    return nn.functional.pad(tensor, (0, missing)) if name.endswith("attn.Wo.weight") else tensor


def _outward(backbone: Transformer, objective: nn.Module | None) -> dict[str, Tensor]:
    """Our weights under their names."""
    tensors: dict[str, Tensor] = {}
    missing = (_heads(backbone.spec) - backbone.spec.shape.heads) * backbone.spec.head
    for name, tensor in backbone.state_dict().items():
        theirs = name.removeprefix("stack.").replace("embed.tokens", "embeddings.tok_embeddings")
        theirs = theirs.replace("embed.norm", "embeddings.norm")
        whole = _with_heads(name, tensor, missing) if missing else tensor
        parts = {theirs: whole}
        if backbone.causal and "Wqkv" in theirs:
            parts = {theirs.replace("Wqkv", f"{q}_proj"): t for q, t in zip("qkv", whole.chunk(3), strict=True)}
        tensors |= {f"model.{k}" if objective is not None else k: v for k, v in parts.items()}
    if objective is not None:
        head = HEADS[DECODER if backbone.causal else ENCODER]
        own = objective.state_dict()
        tensors |= {f"{head}.{name}": own[name] for name in ("dense.weight", "norm.weight")}
        tensors["decoder.bias"] = own["bias"]
    return tensors


def _inward(tensors: Mapping[str, Tensor], spec: TransformerSpec) -> dict[str, Tensor]:
    """Their weights under our names; what is not known keeps its name and is reported as left over."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        ours = name.removeprefix("model.")
        ours = ours.replace("embeddings.tok_embeddings", "embed.tokens").replace("embeddings.norm", "embed.norm")
        found[f"stack.{ours}" if ours.startswith(("layers.", "final_norm.")) else ours] = tensor
    for i in range(spec.shape.depth if spec.causal else 0):
        names = [f"stack.layers.{i}.attn.{part}_proj.weight" for part in "qkv"]
        if all(name in found for name in names):
            found[f"stack.layers.{i}.attn.Wqkv.weight"] = torch.cat([found.pop(name) for name in names])
    return found


def _take_head(tensors: dict[str, Tensor], head: str, folder: Path) -> dict[str, Tensor] | None:
    """Take the head out of the tensors; half a head is refused."""
    theirs = {"dense.weight": f"{head}.dense.weight", "norm.weight": f"{head}.norm.weight", "bias": "decoder.bias"}
    there = {ours: tensors.pop(name) for ours, name in theirs.items() if name in tensors}
    if there and len(there) < len(theirs):
        missing = ", ".join(name for ours, name in theirs.items() if ours not in there)
        raise InputError(f"{folder}: its language-model head is not whole: {missing} is missing")
    return there or None


def _tokens(tensors: Mapping[str, Tensor]) -> Tensor:
    """The token embedding, or nothing."""
    found = [t for name, t in tensors.items() if name.endswith("embeddings.tok_embeddings.weight")]
    return found[0] if found else torch.zeros(0)


def _spec(config: Mapping[str, Any], folder: Path) -> TransformerSpec:
    """The spec of a config.json, old or new."""
    where, kind = f"{folder}/config.json", config.get("model_type")
    if kind not in HEADS:
        raise InputError(f"{where}: model_type is {kind!r}; valid: {ENCODER}, {DECODER}")
    needed = {"norm_eps": EPS, "hidden_activation": "gelu", "tie_word_embeddings": True, "decoder_bias": True}
    needed |= dict.fromkeys(("norm_bias", "attention_bias", "mlp_bias", "classifier_bias"), False)
    needed |= {"classifier_activation": "gelu"}
    for key, value in needed.items():
        if config.get(key, value) != value:
            raise InputError(f"{where}: {key} is {config[key]!r}; only {value!r} can be imported")
    every, near = _pattern(config, where), config.get("local_attention", WINDOW)
    if kind == DECODER and "sliding_window" in config:
        near = 2 * config["sliding_window"]
    return TransformerSpec.parse(
        {
            "width": config.get("hidden_size", BASE.width),
            "depth": config.get("num_hidden_layers", BASE.depth),
            "heads": config.get("num_attention_heads", BASE.heads),
            "hidden": config.get("intermediate_size", BASE.hidden),
            "causal": kind == DECODER,
            "local": near if every > 1 else 0,
            "global_every": every if every > 1 else 3,
            "dropout": config.get("mlp_dropout", 0.0),
            "theta_global": _theta(config, "full_attention", "global_rope_theta", 160_000.0, where),
            "theta_local": _theta(config, "sliding_attention", "local_rope_theta", 10_000.0, where),
        },
        where,
    )


def _pattern(config: Mapping[str, Any], where: str) -> int:
    """n, where layers 0, n, 2 n … see all and the others are local."""
    depth = config.get("num_hidden_layers", BASE.depth)
    asked = config.get("layer_types")
    if asked is None:
        return int(config.get("global_attn_every_n_layers", 3))
    wide = [kind == "full_attention" for kind in asked]
    every = next((i for i in range(1, depth) if wide[i]), depth)
    if wide != [i % every == 0 for i in range(depth)]:
        raise InputError(f"{where}: layer_types is not of the form 'every n-th layer sees all'")
    return every


def _theta(config: Mapping[str, Any], kind: str, old: str, default: float, where: str) -> float:
    """The base of the rotary frequencies of one kind of layer."""
    turning = (config.get("rope_parameters") or {}).get(kind) or {}
    if turning.get("rope_type", "default") != "default" or config.get("rope_scaling"):
        raise InputError(f"{where}: scaled rotary positions cannot be imported; valid: rope_type 'default'")
    return float(turning.get("rope_theta", config.get(old, default)))


def _inputs(config: Mapping[str, Any]) -> Inputs:
    """What a backbone is told of the tokens; the special ids that the config names."""
    ids = {"pad": "pad", "start": "cls", "end": "sep"}
    known = {ours: config.get(f"{theirs}_token_id") for ours, theirs in ids.items()}
    special = {name: int(i) for name, i in known.items() if i is not None}
    length = int(config.get("max_position_embeddings", 8192))
    return Inputs(kind="tokens", vocabulary=config["vocab_size"], special=special, length=length)


def _write(path: Path, tensors: Mapping[str, Tensor]) -> None:
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().float().contiguous() for name, tensor in tensors.items()}
    with room_for(path), atomic(path) as temporary:
        save_file(plain, temporary, metadata={"format": "pt"})


def _read(folder: Path) -> dict[str, Tensor]:
    """All weights of a folder, in float32."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    paths = sorted(folder.glob("*.safetensors"))
    if not paths:
        pickled = [p.name for p in sorted(folder.iterdir()) if p.suffix in PICKLES]
        found = f"found {pickled[0]}, a pickle, which could run code" if pickled else "found none"
        raise InputError(f"{folder}: expected model.safetensors; {found}")
    try:
        return {name: tensor.float() for path in paths for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise InputError(f"{folder}: not readable safetensors ({error})") from None
