"""Protein models of Hugging Face's such as ESM-2: which of their ids stand for which residues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.files import read_json

SIGNS = {"start": "<cls>", "pad": "<pad>", "end": "<eos>", "unknown": "<unk>", "mask": "<mask>"}
"""What ESM's tokenizers call special tokens."""


def vocabulary_of(path: str) -> dict[str, int]:
    """Ids by token, from vocab.txt or tokenizer.json in a local folder; {} where there is neither."""
    folder = Path(path).expanduser()
    if (folder / "vocab.txt").is_file():
        words = (folder / "vocab.txt").read_text("utf-8").split("\n")
        return {word.strip(): number for number, word in enumerate(words) if word.strip()}
    if (folder / "tokenizer.json").is_file():
        words = read_json(folder / "tokenizer.json").get("model", {}).get("vocab", {})
        return dict(words) if isinstance(words, dict) else {}
    return {}


def residue_ids(path: str, letters: str = "ACDEFGHIKLMNPQRSTVWY") -> dict[str, int]:
    """Ids of letters and of `start`, `pad`, `end`, `unknown`, `mask`; raises `InputError` where one has none."""
    known = vocabulary_of(path)
    names = {letter: letter for letter in letters} | SIGNS
    missing = [sign for sign in names.values() if sign not in known]
    if missing:
        raise InputError(
            f"{path}: no token '{missing[0]}' in its vocab.txt or tokenizer.json; expected a model over single residues"
            " such as ESM-2"
        )
    return {name: known[sign] for name, sign in names.items()}


def speaks_residues(path: str, inputs: Inputs) -> bool:
    """Whether a folder's tokens are the domain's letters under other ids."""
    return bool(inputs.letters) and {*inputs.letters, *SIGNS.values()} <= vocabulary_of(path).keys()


def renumber(model: Any, path: str, inputs: Inputs) -> None:
    """Give a model the domain's ids: its embedding keeps the rows of the domain's letters, in their order."""
    ids = residue_ids(path, inputs.letters)
    rows = [0] * inputs.vocabulary
    for name, number in inputs.special.items():
        rows[number] = ids[name]
    for number, letter in enumerate(inputs.letters, len(inputs.special)):
        rows[number] = ids[letter]
    table = model.get_input_embeddings().weight.detach()[rows].clone()
    fresh = nn.Embedding(len(rows), table.shape[1], padding_idx=inputs.special["pad"])
    with torch.no_grad():
        fresh.weight.copy_(table)
    model.set_input_embeddings(fresh)
    model.config.vocab_size, model.config.pad_token_id = len(rows), inputs.special["pad"]
    if getattr(model.config, "mask_token_id", None) is not None:
        model.config.mask_token_id = inputs.special["mask"]
    for part in (model, getattr(model, "embeddings", None)):  # ESM's embedding keeps numbers of its own
        for name, value in (("mask_token_id", inputs.special["mask"]), ("padding_idx", inputs.special["pad"])):
            if part is not None and hasattr(part, name):
                setattr(part, name, value)
