"""Features of a frozen backbone: computed once an example, without dropout, augmentation or gradients.

Shapes: n examples, D width, N elements.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones.base import Backbone
from exapt.batch import BINS, Batch, Features, offsets_of
from exapt.domains.base import Dataset, Domain, Store
from exapt.errors import InputError

Pooling = Literal["mean", "max", "mean+max", "first", "last", "bins"]
"""How an example's elements become one vector. Start and end tokens count for `first` and `last` only."""

BATCH_ELEMENTS = 16384


def embed(
    backbone: Backbone,
    domain: Domain,
    dataset: Dataset,
    pooling: Pooling = "mean",
    batch_elements: int = BATCH_ELEMENTS,
    layers: int = 1,
) -> np.ndarray:
    """(n, D) float32 features in the order of the data set; 'mean+max' doubles D, 'bins' gives 16·D.

    `layers` averages the last so many layers, each through the final norm. Examples of like length share a batch; who
    shares one changes a feature by rounding only. Raises `InputError` where a backbone does not give its layers.
    """
    rows = embed_rows(backbone, domain, dataset, pooling, batch_elements, layers)
    return np.stack(rows) if rows else np.zeros((0, backbone.width * times_wider(pooling)), np.float32)


def times_wider(pooling: Pooling) -> int:
    """How many times as wide as the backbone a pooled vector is."""
    return {"mean+max": 2, "bins": BINS}.get(pooling, 1)


def embed_elements(
    backbone: Backbone, domain: Domain, dataset: Dataset, batch_elements: int = BATCH_ELEMENTS, layers: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) float32 features of the elements `domain.kept` counts, no start or end token, and offsets (n + 1,)."""
    return joined(embed_rows(backbone, domain, dataset, None, batch_elements, layers), backbone.width)


def joined(rows: Sequence[np.ndarray], width: int) -> tuple[np.ndarray, np.ndarray]:
    """Arrays (n_b, D) end to end, and their offsets."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows], dtype=np.int64)])
    return np.concatenate([np.zeros((0, width), np.float32), *rows]), offsets


def embed_rows(
    backbone: Backbone,
    domain: Domain,
    dataset: Dataset,
    pooling: Pooling | None,
    batch_elements: int = BATCH_ELEMENTS,
    layers: int = 1,
) -> list[np.ndarray]:
    """For each example its vector (D,), or with `pooling` None its elements (n_b, D)."""
    device = device_of(backbone)
    with evaluating(backbone), _tapped(backbone, layers) as hidden:
        return by_example(
            domain,
            dataset,
            lambda batch, kept: _pooled(hidden(backbone(batch.to(device))), kept, pooling),
            batch_elements,
        )


def by_example(
    domain: Domain,
    dataset: Dataset,
    compute: Callable[[Batch, Tensor], Sequence[np.ndarray]],
    batch_elements: int = BATCH_ELEMENTS,
) -> list[np.ndarray]:
    """What `compute` gives for each example of a batch, from batches of like length, in the order of the data set.

    It is given the batch and how many elements of each example (B,) `collate` kept.
    """
    kept = domain.kept(dataset)
    out: list[np.ndarray] = [np.zeros(0, np.float32)] * len(kept)
    for places in _cut(np.argsort(kept, kind="stable"), kept, batch_elements):
        batch = domain.collate([dataset[i] for i in places.tolist()])
        for place, row in zip(places.tolist(), compute(batch, torch.as_tensor(kept[places])), strict=True):
            out[place] = row
    return out


def device_of(network: nn.Module) -> torch.device:
    """Where a network's parameters are; the processor if it has none."""
    return next((p.device for p in network.parameters()), torch.device("cpu"))


@dataclass
class FeatureCache:
    """Features of one backbone by example, so that draws that share examples embed each of them once."""

    limit: int = 1 << 30
    """Bytes; beyond it features are computed but not kept."""
    kept: dict[tuple[int, int, str], np.ndarray] = field(default_factory=dict)
    stores: dict[int, Store] = field(default_factory=dict)
    size: int = 0

    def rows(
        self, backbone: Backbone, domain: Domain, dataset: Dataset, pooling: Pooling | None, layers: int = 1
    ) -> list[np.ndarray]:
        """As `embed_rows`."""
        self.stores[id(dataset.store)] = dataset.store  # held, so that its id stays its own
        how = f"{pooling} {layers}"
        keys = [(id(dataset.store), int(row), how) for row in dataset.rows]
        new = [i for i, key in enumerate(keys) if key not in self.kept]
        fresh = embed_rows(backbone, domain, dataset.subset(new), pooling, layers=layers) if new else []
        found = dict(zip(new, fresh, strict=True))
        for i, row in found.items():
            self.keep(keys[i], row)
        return [found[i] if i in found else self.kept[key] for i, key in enumerate(keys)]

    def keep(self, key: tuple[int, int, str], row: np.ndarray) -> None:
        """Keep one example's features if there is room."""
        if self.size + row.nbytes <= self.limit:
            self.kept[key] = row
            self.size += row.nbytes


def _cut(order: np.ndarray, lengths: np.ndarray, batch_elements: int) -> Iterator[np.ndarray]:
    """Runs of places whose examples hold at most so many elements, padded; at least one each."""
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or (stop + 1 - start) * lengths[order[stop]] > batch_elements:
            yield order[start:stop]
            start = stop


def _pooled(features: Features, kept: Tensor, pooling: Pooling | None) -> list[np.ndarray]:
    """What `embed_rows` returns for one batch."""
    if pooling in ("first", "last"):
        return list(features.pooled(pooling).float().cpu().numpy())
    inner = inner_elements(features, kept.to(features.offsets.device))
    if pooling is None:
        return [row.cpu().numpy() for row in inner.elements.float().split(inner.offsets.diff().tolist())]
    parts = [inner.pooled(how) for how in pooling.split("+")]
    return list(torch.cat(parts, 1).float().cpu().numpy())


def inner_elements(features: Features, kept: Tensor) -> Features:
    """The features without the start and end tokens that `collate` added to the kept elements."""
    extra = features.offsets.diff() - kept
    if not bool(extra.any()):
        return features
    offsets = offsets_of(kept)
    first = features.offsets[:-1] + extra // 2
    shifted = torch.arange(int(offsets[-1]), device=offsets.device) + (first - offsets[:-1]).repeat_interleave(kept)
    return Features(features.elements[shifted.to(features.elements.device)], offsets)


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every part's mode is given back as it was."""
    modes = [(part, part.training) for part in network.modules()]
    network.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        for part, mode in modes:
            part.training = mode


class _Hidden:
    """Averages the last layers' outputs, as they come by."""

    def __init__(self, norm: nn.Module) -> None:
        self.norm = norm
        self.seen: list[Tensor] = []

    def note(self, _block: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor):
            raise InputError("layers: this backbone does not give its layers' outputs; valid: 1")
        self.seen.append(output)

    def __call__(self, features: Features) -> Features:
        noted, self.seen = self.seen, []
        if not noted:
            return features
        if any(part.shape != features.elements.shape for part in noted):
            raise InputError("layers: this backbone's layers are not one vector an element; valid: 1")
        total = features.elements + torch.stack([self.norm(part) for part in noted]).sum(0)
        return Features(total / (len(noted) + 1), features.offsets)


@contextmanager
def _tapped(backbone: Backbone, layers: int) -> Iterator[_Hidden]:
    """While open, the outputs of all but the very last of the last `layers` layers are noted."""
    blocks = list(backbone.blocks)
    inner = blocks[1:-1]
    if not 1 <= layers <= max(1, len(inner)):
        raise InputError(f"layers: {layers}; this backbone has {len(inner)}, valid: 1 to {max(1, len(inner))}")
    hidden = _Hidden(blocks[-1])
    with ExitStack() as stack:
        for block in inner[len(inner) - layers : -1] if layers > 1 else []:
            handle = block.register_forward_hook(hidden.note)
            stack.callback(handle.remove)
        yield hidden
