"""Networks that fill in hidden residues, from a checkpoint of exapt's or a Hugging Face folder such as ESM-2's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from exapt.adaptation.features import device_of, evaluating
from exapt.adaptation.variants import Filler
from exapt.backbones.base import Backbone
from exapt.batch import Batch, pack
from exapt.domains.mutations import RESIDUES
from exapt.domains.protein import ProteinDomain
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.errors import InputError
from exapt.objectives.masked import MaskedTokens
from exapt.training.pretrained import load_pretrained


def filler_of(path: Path | str) -> Filler:
    """The network in a folder; raises `InputError` where it does not fill in residues."""
    folder = Path(path).expanduser()
    if (folder / "config.json").is_file() and not (folder / "exapt.json").is_file():
        return HubFiller.opened(str(path))
    start = load_pretrained(folder, domain="protein")
    if not isinstance(start.objective, MaskedTokens):
        kind = start.specs["objective"].get("kind")
        raise InputError(f"{path}: pre-trained by objective {kind}; scoring mutants needs one by objective masked")
    assert isinstance(start.domain, ProteinDomain)
    return OwnFiller(start.domain, start.backbone, start.objective)


@dataclass(frozen=True)
class OwnFiller:
    """A masked pre-training over proteins."""

    domain: ProteinDomain
    backbone: Backbone
    objective: MaskedTokens
    letters: str = RESIDUES

    @property
    def longest(self) -> int:
        return self.domain.room

    def ask(self, sequences: Sequence[str], hidden: Sequence[Sequence[int]]) -> list[Tensor]:
        """For each sequence (L, 20) log-probabilities; those of start, end and unknown do not count."""
        rows = []
        for sequence, places in zip(sequences, hidden, strict=True):
            inner = torch.from_numpy(self.domain.encode(sequence))
            inner[list(places)] = SPECIAL["mask"]
            rows.append(torch.cat([torch.tensor([SPECIAL["start"]]), inner, torch.tensor([SPECIAL["end"]])]))
        ids, offsets = pack(rows)
        with evaluating(self.backbone), evaluating(self.objective):
            device = device_of(self.backbone)
            elements = self.backbone(Batch(ids.to(device), offsets.to(device))).elements
            answers = self.objective.logits(self.backbone, elements)[:, PLAIN:].double().log_softmax(-1).cpu()
        return [part[1:-1] for part in answers.split(offsets.diff().tolist())]


@dataclass(frozen=True)
class HubFiller:
    """A transformers masked language model whose tokens are residues."""

    model: Any
    ids: dict[str, int]
    """Ids of residues, and of what the tokenizer puts around and in place of them."""
    letters: str = RESIDUES

    @classmethod
    def opened(cls, path: str) -> HubFiller:
        """From a local folder with vocab.txt or tokenizer.json, and safetensors."""
        try:
            from transformers import AutoModelForMaskedLM
        except ImportError:
            raise InputError("scoring with a Hugging Face folder needs `pip install exapt[text]`") from None
        from exapt.backbones.residues import residue_ids

        ids = residue_ids(path)
        try:
            model = AutoModelForMaskedLM.from_pretrained(path, use_safetensors=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path}: cannot be opened as a masked language model ({str(error).splitlines()[0]})"
            ) from None
        return cls(model.eval(), ids)

    @property
    def longest(self) -> int:
        limit = getattr(self.model.config, "max_position_embeddings", None) or 1026
        return int(limit) - 4  # ESM counts positions from 2; start and end take one each

    def ask(self, sequences: Sequence[str], hidden: Sequence[Sequence[int]]) -> list[Tensor]:
        """For each sequence (L, 20) log-probabilities among the 20 residues."""
        longest = max(map(len, sequences)) + 2
        ids = torch.full((len(sequences), longest), self.ids["pad"])
        for row, (sequence, places) in enumerate(zip(sequences, hidden, strict=True)):
            inner = np.array([self.ids.get(letter, self.ids["unknown"]) for letter in sequence])
            inner[list(places)] = self.ids["mask"]
            ids[row, : len(inner) + 2] = torch.tensor([self.ids["start"], *inner.tolist(), self.ids["end"]])
        columns = [self.ids[letter] for letter in self.letters]
        with torch.inference_mode():
            logits = self.model(input_ids=ids, attention_mask=(ids != self.ids["pad"]).long()).logits
        answers = logits[..., columns].double().log_softmax(-1)
        return [answers[row, 1 : len(s) + 1] for row, s in enumerate(sequences)]
