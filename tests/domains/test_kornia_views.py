"""The fused views against kornia's: equal where kornia can be given parameters, else alike in distribution."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.domains import ImageSpec, from_arrays
from exapt.domains.drawing import Drawn, draw
from exapt.domains.fused_views import blur, maps_of, recolour, solarise
from exapt.domains.scale import Scale
from exapt.domains.viewing import PictureViewSpec
from exapt.domains.warping import moved
from exapt.errors import InputError

kornia = pytest.importorskip("kornia")
UNIT = Scale(torch.zeros(3), torch.ones(3), 0.0, 1.0)
SIDE, COUNT = 32, 4000


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawn(count: int, seed: int = 0, **views: object) -> Drawn:
    spec = PictureViewSpec.parse(views)
    return draw(spec, spec.plan(SIDE, SIDE, 3), count, rng(seed))


def alike(ours: Tensor, theirs: Tensor) -> None:
    """Means and mean squares of two samples within 4.5 standard errors: missed by chance once in 150 000."""
    ours, theirs = ours.double(), theirs.double()
    for a, b in ((ours, theirs), (ours**2, theirs**2)):
        error = (a.var() / len(a) + b.var() / len(b)).sqrt()
        assert abs(float(a.mean() - b.mean())) < 4.5 * float(error), (a.mean(), b.mean(), error)


def smooth(count: int) -> Tensor:
    """Pictures (count, 3, 32, 32) from 0.35 to 0.65 that no jitter of 0.3 drives out of 0 … 1."""
    coarse = torch.rand(count, 3, 4, 4, generator=rng(7))
    return 0.35 + 0.3 * torch.nn.functional.interpolate(coarse, SIDE, mode="bilinear", align_corners=False)


def test_windows_equal_kornias_crop_away_from_the_windows_edge() -> None:
    values = smooth(40)
    torch.manual_seed(0)
    step = kornia.augmentation.RandomResizedCrop((SIDE, SIDE), (0.2, 1.0), align_corners=False)
    theirs = step(values)
    source = step._params["src"]
    corner, size = source[:, 0], source[:, 2] - source[:, 0] + 1
    of = drawn(40)._replace(corner=corner, size=size, flip=torch.zeros(40, dtype=torch.bool), angle=torch.zeros(40))
    ours = moved(values, maps_of(of, values, UNIT).places)
    edge = math.ceil(SIDE / float(size.min()) / 2)
    inside = slice(edge, SIDE - edge)
    torch.testing.assert_close(ours[..., inside, inside], theirs[..., inside, inside], atol=1e-5, rtol=1e-5)


def test_jitter_equals_kornias_for_given_factors() -> None:
    values = smooth(60)
    of = drawn(60, jitter={"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}, grey=0.3, jittered=1.0)
    for order in ([0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]):
        names = ("brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
        params = dict(zip(names, of.jitter.unbind(1), strict=True)) | {"order": torch.tensor(order)}
        theirs = kornia.augmentation.ColorJitter(0.3, 0.3, 0.3, p=1.0).apply_transform(values, params, {})
        grey = kornia.color.rgb_to_grayscale(theirs).expand(-1, 3, -1, -1)
        theirs = torch.where(of.grey[:, None, None, None], grey, theirs)
        ours = recolour(values, maps_of(of, values, UNIT))
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_turns_equal_kornias() -> None:
    values = smooth(20)
    of = drawn(20, crop=None, flip=0, rotation=90)
    ours = moved(values, maps_of(of, values, UNIT).places)
    step = kornia.geometry.transform.rotate
    theirs = step(values, of.angle.rad2deg(), padding_mode="border", align_corners=False)
    back = step(values, -of.angle.rad2deg(), padding_mode="border", align_corners=False)
    error = min(float((ours - other).abs().max()) for other in (theirs, back))  # which way is positive is free
    assert error < 1e-4


def test_blur_and_solarise_equal_kornias() -> None:
    values = torch.rand(10, 3, SIDE, SIDE, generator=rng())
    sigma = torch.linspace(0.1, 2.0, 10)
    theirs = kornia.filters.gaussian_blur2d(values, (13, 13), sigma[:, None].expand(-1, 2), separable=True)
    torch.testing.assert_close(blur(values, sigma), theirs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        solarise(values, torch.ones(10, dtype=torch.bool)), kornia.enhance.solarize(values, 0.5), atol=1e-6, rtol=1e-6
    )


def test_what_is_drawn_is_alike_in_distribution() -> None:
    of = drawn(COUNT, rotation=30)
    torch.manual_seed(0)
    crop = kornia.augmentation.RandomResizedCrop((SIDE, SIDE), (0.2, 1.0)).generate_parameters((COUNT, 3, SIDE, SIDE))
    size = crop["src"][:, 2] - crop["src"][:, 0] + 1
    alike(of.size.prod(1) / SIDE**2, size.prod(1) / SIDE**2)
    alike((of.size[:, 0] / of.size[:, 1]).log(), (size[:, 0] / size[:, 1]).log())
    for axis in (0, 1):
        alike(of.corner[:, axis], crop["src"][:, 0, axis])
    turned = kornia.augmentation.RandomAffine(30.0).generate_parameters((COUNT, 3, SIDE, SIDE))
    alike(of.angle.rad2deg(), turned["angle"])
    jitter = kornia.augmentation.ColorJitter(0.4, 0.4, 0.4, 0.1).generate_parameters((COUNT, 3, SIDE, SIDE))
    plain = drawn(COUNT, jittered=1.0).jitter
    for k, name in enumerate(("brightness_factor", "contrast_factor", "saturation_factor")):
        alike(plain[:, k], jitter[name])
    alike(plain[:, 3] / (2 * math.pi), jitter["hue_factor"])


@pytest.mark.parametrize("hue", [0.0, 0.1])
def test_pictures_are_alike_in_distribution(hue: float) -> None:
    """Per-picture channel means, spreads and colourfulness over thousands of views of the same pictures.

    With a turn of hue brightness is compared, as the colour circles differ.
    """
    values = (smooth(250).permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)
    jitter = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4, "hue": hue}
    found = {}
    for path in ("fused", "kornia"):
        keys = {"views": {"path": path, "jitter": jitter}}
        domain = ImageSpec.parse(keys).build(from_arrays(values))
        batch = domain.collate(list(domain.read(from_arrays(values))))
        found[path] = torch.cat([view.inputs for view in domain.views(batch, rng(3), COUNT // 250)])
    weights = torch.tensor([0.299, 0.587, 0.114])
    for measure in (
        *([lambda v: v.mean((2, 3))[:, 0], lambda v: v.std((2, 3))[:, 2]] if not hue else []),
        lambda v: v.mean((2, 3)) @ weights,
        lambda v: torch.tensordot(v, weights, ([1], [0])).std((1, 2)),
        lambda v: (v[..., 1:] - v[..., :-1]).abs().mean((1, 2, 3)),
    ):
        alike(measure(found["fused"]), measure(found["kornia"]))


def test_a_missing_kornia_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kornia", None)
    monkeypatch.setitem(sys.modules, "kornia.augmentation", None)
    values = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)
    domain = ImageSpec.parse({"views": {"path": "kornia"}}).build(from_arrays(values))
    with pytest.raises(InputError, match="pip install 'exapt\\[vision\\]'; valid without it: fused"):
        domain.views(domain.collate(list(domain.read(from_arrays(values)))), rng())
