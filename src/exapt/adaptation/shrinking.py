"""Smaller checkpoints and smaller fitted models out of whole ones, as folders like any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from exapt.adaptation.finetune import FinetuneFitted
from exapt.adaptation.fit import load_fitted
from exapt.adaptation.fitted import FILE as FITTED
from exapt.adaptation.fitted import Fitted
from exapt.adaptation.structured import Importance, by_taylor, removed
from exapt.adaptation.tuning import Tuning
from exapt.backbones.transformer import Transformer
from exapt.domains.base import Dataset, Domain
from exapt.errors import InputError
from exapt.training.batches import Batches
from exapt.training.pretrained import Pretrained, load_pretrained, save_pretrained
from exapt.training.trainable import Pretraining, Trainable

BATCH, MOST = 32, 512
"""Examples of a batch, and how many examples importance is measured on."""


def shrink_folder(folder: Path | str, out: Path | str, share: float = 0.5, heads: bool = False) -> dict[str, Any]:
    """Write a smaller checkpoint, or a smaller fitted model, without its least important share of neurons (and heads).

    Magnitude decides. Returns the sizes before and after. Raises `InputError` where the folder is neither, `out` is the
    same folder, or the backbone is not exapt's transformer.
    """
    folder, out = Path(folder).expanduser(), Path(out).expanduser()
    if folder.resolve() == out.resolve():
        raise InputError(f"{out}: the folder that is to be shrunk; choose another one for the smaller model")
    if (folder / FITTED).is_file():
        fitted = load_fitted(folder)
        small = shrink_fitted(fitted, share, heads)
        small.save(out)
        before, after = fitted.backbone(), small.backbone()
    else:
        pretrained = load_pretrained(folder)
        smaller = shrink_pretrained(pretrained, share, heads)
        save_shrunk(smaller, out)
        before, after = pretrained.backbone, smaller.backbone
    assert isinstance(before, Transformer) and isinstance(after, Transformer)
    return {
        "parameters": [before.size(), after.size()],
        "heads": [before.spec.shape.heads, after.spec.shape.heads],
        "neurons": [before.spec.shape.hidden, after.spec.shape.hidden],
        "bytes": [(place / "backbone.safetensors").stat().st_size for place in (folder, out)],
    }


def shrink_pretrained(
    pretrained: Pretrained, share: float = 0.5, heads: bool = False, corpus: Dataset | None = None
) -> Pretrained:
    """A smaller network under the same objective; with a corpus, importance is first-order Taylor on its examples."""
    importance = None
    if corpus is not None:
        model = Pretraining(pretrained.backbone, pretrained.objective)
        corpus = pretrained.objective_spec.attach(corpus, pretrained.domain)
        importance = importance_on(model, pretrained.domain, pretrained.domain.windows(corpus, 0))
    small = removed(pretrained.backbone, share, heads, importance)
    record = pretrained.record | {"shrunk": _sizes(small), "parameters": small.size()}
    return replace(pretrained, backbone=small, record=record, specs=pretrained.specs | {"backbone": small.spec.plain()})


def save_shrunk(pretrained: Pretrained, folder: Path | str) -> Path:
    """Write it as pre-training writes its artifact."""
    objective = pretrained.objective_spec
    domain, record = pretrained.domain, pretrained.record
    return save_pretrained(
        Path(folder), domain, pretrained.backbone, pretrained.objective, record, specs={"objective": objective}
    )


def shrink_fitted(
    fitted: Fitted, share: float = 0.5, heads: bool = False, examples: Dataset | None = None
) -> FinetuneFitted:
    """A fine-tuned model with fewer neurons (and heads), which predicts faster; the head stays as it is.

    With labelled `examples` importance is first-order Taylor of the task's loss on them, else magnitude. Tune its
    `backbone()` again on the same labels to win back what was lost. Raises `InputError` for models of another kind.
    """
    if not isinstance(fitted, FinetuneFitted):
        raise InputError(f"shrink: a model of kind '{fitted.record.get('kind')}'; valid: finetune")
    tuning = fitted.tuning
    importance = None if examples is None else importance_on(tuning, fitted.domain, examples)
    small = Tuning(removed(tuning.backbone, share, heads, importance), tuning.head, tuning.task, None, tuning.last)
    record = fitted.record | {"shrunk": _sizes(small.backbone)}
    return FinetuneFitted(fitted.spec, fitted.domain, fitted.task, record, small)


def importance_on(model: Trainable, domain: Domain, dataset: Dataset, seed: int = 0) -> Importance:
    """First-order importance of a network's units on at most 512 examples."""
    some = dataset.subset(range(min(MOST, len(dataset))))
    return by_taylor(model, Batches(some, domain.collate, batch=BATCH, seed=seed, lengths=domain.kept), seed)


def _sizes(backbone: Any) -> dict[str, int]:
    shape = backbone.spec.shape
    return {"heads": shape.heads, "neurons": shape.hidden}
