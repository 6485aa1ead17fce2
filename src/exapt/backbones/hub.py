"""Hugging Face models over tokens or pictures as backbones: a local folder or a name on the hub, safetensors only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from exapt.backbones.base import Backbone, not_taken
from exapt.backbones.colours import Colours
from exapt.backbones.hub_pictures import HubPictures, colours_of, patch_of
from exapt.backbones.residues import renumber, speaks_residues
from exapt.backbones.wrapped import blocks_of
from exapt.batch import Batch, Features, offsets_of, pad
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.files import read_json
from exapt.spec import Spec

POOLER = "pooler"
"""The part of BERT-like models over their first token only; features have no use for it."""

COUNT_FROM_PADDING = ("roberta", "camembert", "esm", "mpnet", "longformer")
"""Kinds of models whose first position is 2, so that they take two tokens fewer than they have positions."""


class HubSpec(Spec):
    """A transformers `AutoModel` over tokens or pictures. Ids of tokens must be the model's own, or it start fresh."""

    kind: Literal["hub"] = "hub"
    path: str
    """A local folder with config.json and *.safetensors, or a name on the Hugging Face hub."""
    revision: str | None = None
    """A branch, tag or commit of a model on the hub."""
    pretrained: bool = True
    """False: the same architecture with fresh weights, and a vocabulary as large as the domain's."""
    config: dict[str, Any] | None = None
    """The model's own description, where it is to be built without its folder; written into exapt's checkpoints."""
    class_token: Literal["drop", "join"] = "drop"
    """Pictures: leave the class token out, or join its vector to that of every patch, which doubles the width."""
    colours: Colours | None = None
    """Pictures: what the model's own are normalised by; None: what its folder says, or ImageNet's figures."""

    def build(self, inputs: Inputs, seed: int | None = None) -> HubBackbone | HubPictures:
        """Raises `InputError` for a missing folder, pickled or incomplete weights, or inputs it was not made for."""
        if inputs.kind == "pictures":
            return self._pictures(inputs, seed)
        if inputs.kind != "tokens":
            raise not_taken("hub", "tokens or pictures", inputs.kind)
        source = self if self.pretrained else self.model_copy(update={"config": self._config(inputs)})
        model = _pretrained(source, inputs) if self.pretrained else _fresh(source, seed)
        described = {"pretrained": False, "config": _plain(model.config)}
        return HubBackbone(self.model_copy(update=described), model, inputs)

    def _pictures(self, inputs: Inputs, seed: int | None) -> HubPictures:
        """A model over pictures; a fresh one takes the domain's channels where its own do not do."""
        described = self.config if self.config is not None else _plain(_read_config(self))
        if not self.pretrained and inputs.channels not in (1, described.get("num_channels", 3)):
            described = described | {"num_channels": inputs.channels}
        patch = patch_of(described, self.path)
        source = self.model_copy(update={"config": described})
        model = _pretrained(self, inputs) if self.pretrained else _fresh(source, seed)
        colours = self.colours or (Colours() if self.config is not None else colours_of(self.path))
        settled = {"pretrained": False, "config": _plain(model.config), "colours": colours}
        return HubPictures(self.model_copy(update=settled), model, inputs, patch)

    def fresh(self, inputs: Inputs, seed: int | None = None) -> HubBackbone | HubPictures:
        """The same architecture with random weights: what the pre-trained ones are compared with."""
        return self.model_copy(update={"pretrained": False}).build(inputs, seed)

    def _config(self, inputs: Inputs) -> dict[str, Any]:
        """The model's description, with the domain's vocabulary where its own does not do."""
        described = self.config if self.config is not None else _plain(_read_config(self))
        rows, words = described["vocab_size"], _tokenizer_size(self.path)
        if inputs.vocabulary in (rows, words) or (self.config is not None and rows >= inputs.vocabulary):
            return described
        return described | {"vocab_size": inputs.vocabulary, "pad_token_id": inputs.special.get("pad", 0)}


class HubBackbone(Backbone):
    """A wrapped model: packed ids go in padded, features come back packed."""

    def __init__(self, spec: HubSpec, model: Any, inputs: Inputs) -> None:
        super().__init__()
        self.spec, self.inputs = spec, inputs
        self.model: Any = model
        self.width = int(model.config.hidden_size)
        self.causal = _is_causal(model.config)
        self.pad_id = int(getattr(model.config, "pad_token_id", None) or inputs.special.get("pad", 0))
        limit = _limit(model.config)
        if limit and inputs.length > limit:
            raise InputError(
                f"{spec.path}: takes at most {limit} tokens, the domain's examples have up to {inputs.length}; "
                f"set domain.length to {limit} or less"
            )

    @property
    def embedding(self) -> nn.Embedding | None:
        """The token embedding, which a head over tokens shares."""
        found = self.model.get_input_embeddings()
        return found if isinstance(found, nn.Embedding) else None

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return blocks_of(self.model)

    def forward(self, batch: Batch) -> Features:
        lengths = batch.lengths
        if not int(lengths.sum()):
            return Features(torch.zeros(0, self.width, device=batch.inputs.device), batch.offsets)
        ids, real = pad(batch.inputs, offsets_of(lengths[lengths > 0]))
        ids = ids.masked_fill(~real, self.pad_id)
        hidden = self.model(input_ids=ids, attention_mask=real.long()).last_hidden_state
        return Features(hidden[real], batch.offsets)


def _read_config(spec: HubSpec) -> Any:
    """The transformers config of a folder or name."""
    transformers = _library()
    if _is_local(spec.path):
        found = read_json(Path(spec.path).expanduser() / "config.json")
        if not isinstance(found, dict) or "model_type" not in found:
            raise InputError(f"{spec.path}/config.json: not a Hugging Face model; expected a key 'model_type'")
    return _asked(spec, lambda: transformers.AutoConfig.from_pretrained(spec.path, revision=spec.revision))


def _pretrained(spec: HubSpec, inputs: Inputs) -> Any:
    transformers = _library()
    config = _read_config(spec)
    _check_weights(spec.path)
    residues = inputs.kind == "tokens" and speaks_residues(spec.path, inputs)
    if inputs.kind == "tokens" and not residues:
        _check_vocabulary(spec.path, config, inputs)
    options = {"revision": spec.revision, "use_safetensors": True, "trust_remote_code": False, "dtype": torch.float32}
    load = transformers.AutoModel.from_pretrained
    model, report = _asked(spec, lambda: load(spec.path, config=config, output_loading_info=True, **options))
    wrong = [key for key in (*report["missing_keys"], *report["mismatched_keys"]) if not str(key).startswith(POOLER)]
    if wrong:
        raise InputError(f"{spec.path}: {len(wrong)} of the model's weights are not in the file, such as {wrong[0]}")
    if residues:
        renumber(model, spec.path, inputs)
    return _trimmed(model)


def _fresh(spec: HubSpec, seed: int | None) -> Any:
    """Random weights, drawn without touching torch's global generator where a seed is given."""
    transformers = _library()
    described = dict(spec.config or {})
    config = transformers.AutoConfig.for_model(described.pop("model_type"), **described)
    with torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        return _trimmed(transformers.AutoModel.from_config(config, trust_remote_code=False, dtype=torch.float32))


def _trimmed(model: Any) -> Any:
    """The encoder of an encoder-decoder, without a pooler."""
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if getattr(model, POOLER, None) is not None:
        model.pooler = None
    return model


def _library() -> Any:
    try:
        import transformers
    except ImportError:
        raise InputError("backbone.kind=hub needs `pip install exapt[text]`") from None
    return transformers


def _asked(spec: HubSpec, load: Callable[[], Any]) -> Any:
    """What a loader of transformers gives; its complaints in one line."""
    try:
        return load()
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(
            f"{spec.path}: cannot be opened as a Hugging Face model ({reason}); "
            "valid: a folder with config.json and *.safetensors, or a name on the hub"
        ) from None


def _is_local(path: str) -> bool:
    """Whether a path is meant as a folder: it is there, or it could not be a name on the hub."""
    return Path(path).expanduser().exists() or path.startswith(("/", ".", "~")) or path.count("/") != 1


def _check_weights(path: str) -> None:
    """Refuse a local folder without safetensors."""
    folder = Path(path).expanduser()
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    pickled = sorted(p.name for p in (*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")))
    if pickled:
        raise InputError(f"{path}: {pickled[0]} is a pickle, which could run code; valid: model.safetensors")
    raise InputError(f"{path}: holds no weights; expected model.safetensors")


def _check_vocabulary(path: str, config: Any, inputs: Inputs) -> None:
    """The domain's ids must be the model's: as many as the model has rows, or as its own tokenizer has words."""
    words = _tokenizer_size(path)
    if inputs.vocabulary in (config.vocab_size, words):
        return
    own = f" (its tokenizer has {words})" if words else ""
    raise InputError(
        f"{path}: knows {config.vocab_size} tokens{own}, the domain has {inputs.vocabulary}; valid: a domain with the "
        "model's own tokenizer, or backbone.pretrained=false for the architecture with fresh weights"
    )


def _tokenizer_size(path: str) -> int | None:
    """Words of the tokenizer.json in a local folder, added ones included."""
    file = Path(path).expanduser() / "tokenizer.json"
    if not file.is_file():
        return None
    found = read_json(file)
    words = found.get("model", {}).get("vocab", {})
    ids = [*words.values()] if isinstance(words, dict) else [*range(len(words))]
    return 1 + max([*ids, *(int(added["id"]) for added in found.get("added_tokens", []))], default=-1)


def _plain(config: Any) -> dict[str, Any]:
    """A transformers config as JSON-able data, without what belongs to a place or a version."""
    described: dict[str, Any] = config.to_dict() | {"model_type": config.model_type}
    return {k: v for k, v in described.items() if k not in ("_name_or_path", "transformers_version", "architectures")}


def _is_causal(config: Any) -> bool:
    """Whether each token sees only those before it: a decoder, or a kind of model made for generating only."""
    from transformers.models.auto import modeling_auto

    generates = config.model_type in modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    fills = config.model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES
    return bool(getattr(config, "is_decoder", False)) or (generates and not fills and not config.is_encoder_decoder)


def _limit(config: Any) -> int | None:
    """The longest example a model with learnt positions takes."""
    limit = getattr(config, "max_position_embeddings", None)
    if not limit or limit < 0:
        return None
    counts_from_padding = any(
        word in config.model_type for word in ("roberta", "camembert", "esm", "mpnet", "longformer")
    )
    return int(limit) - (2 if counts_from_padding else 0)
