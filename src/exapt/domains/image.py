"""Pictures: an element is a square patch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from exapt.batch import Batch, offsets_of
from exapt.domains.base import Arrays, Dataset, Domain, Example, Inputs, Masked, Source
from exapt.domains.hashing import mix
from exapt.domains.joining import joined
from exapt.domains.patches import patch_positions, patchify
from exapt.domains.picture_views import PictureViews
from exapt.domains.pictures import PictureSource
from exapt.domains.picturing import Shape, read_pictures
from exapt.domains.random_views import random_views
from exapt.domains.resizing import fit
from exapt.domains.scale import Scale
from exapt.domains.stores import JoinedStore
from exapt.domains.targets import element_targets_of, targets_of
from exapt.domains.viewing import PictureViewSpec
from exapt.domains.views import Transformation
from exapt.errors import InputError
from exapt.files import write_json
from exapt.spec import Spec

LARGEST = 64
"""The classical baseline shrinks pictures to at most this side."""


class ImageSpec(Spec):
    """Pictures: size, channels, and the side of a patch."""

    kind: Literal["image"] = "image"
    patch: int = Field(default=4, ge=1)
    """Side of a square patch in pixels; it must divide height and width. Nothing is ever padded."""
    size: PositiveInt | tuple[PositiveInt, PositiveInt] | None = None
    """Side, or height and width, that every picture is brought to, as `fit` says. None takes
    pictures as they are; they must then have one size."""
    fit: Literal["cover", "stretch"] = "cover"
    """How a picture is brought to `size`: scaled to cover it and cut, or each side by itself, which loses nothing at
    the border: for detection."""
    channels: Literal[1, 3, 4] | None = None
    """Read picture files as grey (1), colour (3) or colour with opacity (4); None as they are."""
    target: Literal["normalised", "pixels"] = "normalised"
    """What masked modelling predicts of a hidden patch: its pixels less their own mean, over their own spread, as MAE
    does; or as they are, which also asks how bright a patch is: for patches so small that this is most of them."""
    views: PictureViewSpec = PictureViewSpec()
    """The random views of contrastive objectives: what changes from view to view is what they learn to ignore."""

    def build(self, corpus: Source | Arrays | None = None, cache: Path | None = None) -> ImageDomain:
        """Learn size, channels, and each channel's mean and spread from a corpus."""
        if corpus is None:
            raise InputError("domain image: size, channels and brightness are learnt from a corpus; give one")
        dataset = self._read(corpus, cache)
        shape = Shape(*dataset.store[0].shape)
        self._check(shape, corpus.name)
        self.views.plan(*shape)
        return ImageDomain(self, shape, *_brightness(dataset), _range(dataset))

    def restore(self, folder: Path, learned: dict[str, Any]) -> ImageDomain:
        """The domain that was saved in a folder."""
        shape, (lowest, highest) = Shape(*learned["shape"]), learned["range"]
        return ImageDomain(self, shape, np.array(learned["mean"]), np.array(learned["spread"]), (lowest, highest))

    def _read(self, corpus: Source | Arrays, cache: Path | None) -> Dataset:
        """Every picture, of one shape: that of the first."""
        shape, parts = None, []
        for one in [corpus] if isinstance(corpus, Arrays) else corpus.each():
            found = PictureSource(one, self.channels)
            parts.append(read_pictures(found, self.size, shape, self._key(), cache, 1, self.stretch))
            shape = Shape(*parts[0].store[0].shape)
        return parts[0] if len(parts) == 1 else joined(parts, JoinedStore)

    def _key(self) -> str:
        return repr((self.size, self.channels, self.fit))

    @property
    def stretch(self) -> bool:
        """Whether each side is scaled by itself."""
        return self.fit == "stretch"

    def _check(self, shape: Shape, path: str) -> None:
        if shape.height % self.patch or shape.width % self.patch:
            common = np.gcd(shape.height, shape.width)
            valid = ", ".join(str(p) for p in range(1, common + 1) if common % p == 0)
            raise InputError(
                f"{path}: pictures of {shape.height} × {shape.width} do not divide into patches of {self.patch}; "
                f"valid patch sizes: {valid}; or set domain.size"
            )


def _brightness(dataset: Dataset, most: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation (C,) of each channel over at most so many pictures, evenly spaced."""
    some = _some(dataset, most)
    moments = np.array([[f(p, axis=(0, 1)) for f in (_mean, _square)] for p in some])
    mean, square = moments.mean(axis=0)
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    return mean, np.where(spread > 1e-6 * (1 + np.abs(mean)), spread, 1.0)


def _some(dataset: Dataset, most: int) -> list[np.ndarray]:
    places = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int))
    return [dataset.store[i] for i in places]


def _range(dataset: Dataset, most: int = 5000) -> tuple[float, float]:
    """Least and most a pixel can be: 0 and 255 of bytes, else what at most so many pictures have."""
    if dataset.store[0].dtype == np.uint8:
        return 0.0, 255.0
    some = _some(dataset, most)
    lowest, highest = float(min(p.min() for p in some)), float(max(p.max() for p in some))
    return lowest, highest if highest > lowest else lowest + 1


def _mean(picture: np.ndarray, axis: tuple[int, int]) -> np.ndarray:
    return np.asarray(picture.mean(axis=axis, dtype=np.float64))


def _square(picture: np.ndarray, axis: tuple[int, int]) -> np.ndarray:
    return np.asarray(np.square(picture, dtype=np.float64).mean(axis=axis))


class ImageDomain(Domain):
    """Pictures of one size, standardised channel by channel."""

    baseline: ClassVar[str] = "pixels"

    def __init__(
        self, spec: ImageSpec, shape: Shape, mean: np.ndarray, spread: np.ndarray, reach: tuple[float, float]
    ) -> None:
        self.spec: ImageSpec = spec
        self.shape, self.mean, self.spread, self.reach = shape, mean, spread, reach
        self.plan = spec.views.plan(*shape)
        self.rows, self.columns = shape.height // spec.patch, shape.width // spec.patch
        self.inputs = Inputs(
            "pictures",
            channels=shape.channels,
            patch=spec.patch,
            length=self.elements,
            mean=tuple(mean.tolist()),
            spread=tuple(spread.tolist()),
        )

    @property
    def elements(self) -> int:
        """Patches of one picture."""
        return self.rows * self.columns

    def read_one(self, source: Source | Arrays, cache: Path | None = None) -> Dataset:
        found = PictureSource(source, self.spec.channels)
        return read_pictures(
            found, self.spec.size, self.shape, self.spec._key(), cache, self.elements, self.spec.stretch
        )

    def frames(self, source: Source | Arrays) -> list[tuple[str, int, int]]:
        """Name, height and width of every picture of a source as it was before it was brought to one size."""
        found = PictureSource(source, self.spec.channels)
        return [
            (piece.where(i), *picture.shape[:2])
            for piece in found.pieces()
            for i, picture in enumerate(piece.values)  # type: ignore[arg-type]
        ]

    def collate(self, examples: Sequence[Example]) -> Batch:
        size = (0, *self.shape)
        raw = np.stack([e.inputs for e in examples]) if examples else np.zeros(size, np.uint8)
        pictures = torch.from_numpy(raw).permute(0, 3, 1, 2).contiguous().float()
        mean, spread = (torch.tensor(v, dtype=torch.float32)[:, None, None] for v in (self.mean, self.spread))
        counts = [self.elements] * len(examples)
        return Batch(
            inputs=pictures.sub_(mean).div_(spread),
            offsets=offsets_of(torch.tensor(counts, dtype=torch.long)),
            targets=targets_of(examples),
            element_targets=element_targets_of(examples, counts, 0),
            index=torch.tensor([example.index for example in examples], dtype=torch.long),
        )

    def mask(self, batch: Batch, ratio: float, rng: torch.Generator) -> Masked:
        """Hide the same number of patches of every picture, at least one; at least one stays visible.

        The batch holds the visible patches only; the target is each hidden patch, by default less its mean and over
        its deviation (He et al. 2022, §3 'Reconstruction target').
        """
        count, n = len(batch), self.elements
        if n < 2:
            raise InputError("domain image: a picture of one patch has nothing to predict it from; use a smaller patch")
        hidden = min(max(1, round(ratio * n)), n - 1)
        patches = patchify(batch.inputs, self.spec.patch)
        positions = patch_positions(count, self.rows, self.columns, patches.device)
        order = torch.rand(count, n, generator=rng, device=rng.device).argsort(dim=1).to(patches.device)
        base = torch.arange(count, device=patches.device)[:, None] * n
        where = (order[:, :hidden].sort(dim=1).values + base).reshape(-1)
        seen = (order[:, hidden:].sort(dim=1).values + base).reshape(-1)
        visible = replace(
            batch,
            inputs=patches[seen],
            offsets=_even(batch, n - hidden),
            positions=positions[seen],
            element_targets={k: v[seen] for k, v in batch.element_targets.items()},
        )
        queries = Batch(patches.new_zeros(len(where), 0), _even(batch, hidden), positions[where])
        target = normalised(patches[where]) if self.spec.target == "normalised" else patches[where]
        return Masked(visible, where, target, queries)

    def views(self, batch: Batch, rng: torch.Generator, count: int = 2) -> list[Batch]:
        """Independent random views as `domain.views` says, on the device of the batch, in the order of its examples."""
        scale = Scale(torch.tensor(self.mean), torch.tensor(self.spread), *self.reach)
        views = random_views(batch.inputs, self.spec.views, self.plan, scale, rng, count)
        return [replace(batch, inputs=view, element_targets={}) for view in views]

    def viewing(self, changes: Mapping[str, Any]) -> ImageDomain:
        """The same domain with some keys of `domain.views` set otherwise; raises `InputError` for others."""
        views = PictureViewSpec.parse({**self.spec.views.plain(), **changes}, "objective.viewing")
        spec = self.spec.model_copy(update={"views": views})
        return ImageDomain(spec, self.shape, self.mean, self.spread, self.reach)

    def transformations(self) -> list[Transformation]:
        """Turned, mirrored, moved, cropped, lighter, noisy, and with three channels in other colours."""
        return PictureViews(torch.tensor(self.mean), torch.tensor(self.spread)).all()

    def fingerprints(self, example: Example) -> np.ndarray:
        """(1,) a hash of whether brightness rises or falls along each row of a 8 × 9 miniature (dHash)."""
        grey = fit(np.asarray(example.inputs, dtype=np.float32).mean(axis=2, keepdims=True), (8, 9), stretch=True)[
            :, :, 0
        ]
        bits = (np.diff(grey, axis=1) > 0).reshape(-1)
        return mix(np.packbits(bits).view(np.uint64).copy())

    def classical(self, train: Dataset, others: Sequence[Dataset] = ()) -> list[Any]:
        """Standardised pixels; pictures beyond 64 × 64 are made smaller first."""
        return [self._pixels(dataset) for dataset in (train, *others)]

    def _pixels(self, dataset: Dataset) -> np.ndarray:
        scale = min(1.0, LARGEST / max(self.shape.height, self.shape.width))
        size = (max(1, round(self.shape.height * scale)), max(1, round(self.shape.width * scale)))
        rows = [(fit(dataset.store[int(row)], size, stretch=True) - self.mean) / self.spread for row in dataset.rows]
        return np.array([row.reshape(-1) for row in rows], dtype=np.float32)

    def describe(self) -> dict[str, Any]:
        learned = {"mean": self.mean.tolist(), "spread": self.spread.tolist()}
        facts = {"kind": "image", "element": f"patch of {self.spec.patch} × {self.spec.patch} pixels"}
        return facts | {"size": list(self.shape), "length": self.elements} | learned

    def save(self, folder: Path) -> None:
        learned = {"shape": list(self.shape), "mean": self.mean.tolist(), "spread": self.spread.tolist()}
        learned["range"] = list(self.reach)
        write_json(folder / "domain.json", {"spec": self.spec.plain(), "learned": learned})


def normalised(patches: Tensor) -> Tensor:
    """(M, F) each patch less its mean, over its standard deviation."""
    spread = patches.var(dim=1, keepdim=True, unbiased=False)
    return (patches - patches.mean(dim=1, keepdim=True)) / (spread + 1e-6).sqrt()


def _even(batch: Batch, count: int) -> Tensor:
    """Offsets of examples that all have `count` elements."""
    return torch.arange(len(batch) + 1, device=batch.offsets.device) * count
