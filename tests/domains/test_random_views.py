"""Random views of pictures: the fused path against the same changes one by one, pixel by pixel."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from exapt.domains import ImageDomain, ImageSpec, from_arrays, load_domain
from exapt.domains import random_views as module
from exapt.domains.drawing import Drawn, draw
from exapt.domains.fused_views import blur, maps_of, recolour, solarise
from exapt.domains.scale import Scale
from exapt.domains.viewing import PictureViewSpec, blur_radius
from exapt.domains.warping import moved, places
from exapt.errors import InputError

RNG = np.random.default_rng(0)
EVERYTHING = {"rotation": 40, "rotated": 0.7, "jitter": 0.5, "grey": 0.3, "blur": 0.5, "solarise": 0.3}
UNIT = Scale(torch.zeros(3), torch.ones(3), 0.0, 1.0)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (count, height, width, channels), dtype=np.uint8)


def prepared(values: np.ndarray, **views: object) -> tuple[ImageDomain, Tensor]:
    domain = ImageSpec.parse({"patch": 1, "views": views}).build(from_arrays(values))
    return domain, domain.collate(list(domain.read(from_arrays(values))))


def drawn(count: int, height: int = 8, width: int = 12, channels: int = 3, **views: object) -> Drawn:
    spec = PictureViewSpec.parse(views)
    return draw(spec, spec.plan(height, width, channels), count, rng())


def bilinear(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    """(C,) between four pixels of (C, H, W) at a place in pixels, the border repeated."""
    height, width = picture.shape[1:]
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = int(x), int(y)
    right, below = min(left + 1, width - 1), min(top + 1, height - 1)
    upper = (1 - x + left) * picture[:, top, left] + (x - left) * picture[:, top, right]
    lower = (1 - x + left) * picture[:, below, left] + (x - left) * picture[:, below, right]
    return (1 - y + top) * upper + (y - top) * lower


def moved_one_by_one(picture: np.ndarray, of: Drawn, b: int) -> np.ndarray:
    """One picture (C, H, W): each pixel of the view followed back through turn, mirror and window."""
    height, width = picture.shape[1:]
    (left, top), (wide, high) = of.corner[b].tolist(), of.size[b].tolist()
    c, s = math.cos(of.angle[b]), math.sin(of.angle[b])
    view = np.empty_like(picture)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5 - width / 2, row + 0.5 - height / 2  # pixels from the centre
            x, y = c * x - s * y, s * x + c * y
            x = -x if of.flip[b] else x
            x, y = left + (x + width / 2) * wide / width, top + (y + height / 2) * high / height
            view[:, row, column] = bilinear(picture, x - 0.5, y - 0.5)
    return view


def recoloured_one_by_one(picture: np.ndarray, of: Drawn, b: int, order: tuple[int, ...]) -> np.ndarray:
    """One picture (3, H, W): brightness, contrast, saturation and hue in some order, then grey, then clipped."""
    weights = np.array([0.299, 0.587, 0.114])
    yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])

    def grey(p: np.ndarray) -> np.ndarray:
        return np.tensordot(weights, p, 1)[None]

    def turned(p: np.ndarray, angle: float) -> np.ndarray:
        y, i, q = np.tensordot(yiq, p, 1)
        colour = (i + 1j * q) * np.exp(1j * angle)
        return np.tensordot(np.linalg.inv(yiq), np.stack([y, colour.real, colour.imag]), 1)

    bright, contrast, saturation, hue = of.jitter[b].double().tolist()
    for step in order:
        if step == 0:
            picture = picture * bright
        elif step == 1:
            picture = contrast * picture + (1 - contrast) * grey(picture).mean()
        elif step == 2:
            picture = saturation * picture + (1 - saturation) * grey(picture)
        else:
            picture = turned(picture, hue)
    picture = np.repeat(grey(picture), 3, 0) if of.grey[b] else picture
    return picture.clip(0, 1)


def test_one_resampling_equals_turn_mirror_and_window_one_by_one() -> None:
    values = torch.rand(20, 3, 8, 12, generator=rng())
    of = drawn(20, rotation=180, rotated=0.7)
    assert of.flip.any() and not of.flip.all() and (of.angle == 0).any()
    found = moved(values, maps_of(of, values, UNIT).places)
    for b in range(20):
        expected = moved_one_by_one(values[b].double().numpy(), of, b)
        np.testing.assert_allclose(found[b].numpy(), expected, atol=1e-5)


def test_places_are_those_of_affine_grid() -> None:
    maps = torch.randn(4, 2, 3, generator=rng())
    expected = torch.nn.functional.affine_grid(maps, [4, 1, 5, 7], align_corners=False)
    torch.testing.assert_close(places(maps, 5, 7), expected, atol=1e-5, rtol=1e-5)


def test_a_window_is_the_cut_scaled_up() -> None:
    values = torch.rand(30, 3, 8, 12, generator=rng())
    of = drawn(30, flip=0)
    found = moved(values, maps_of(of, values, UNIT).places)
    for b in range(30):
        (left, top), (wide, high) = of.corner[b].int().tolist(), of.size[b].int().tolist()
        cut = values[b : b + 1, :, top : top + high, left : left + wide]
        expected = torch.nn.functional.interpolate(cut, (8, 12), mode="bilinear", align_corners=False)[0]
        inside = (
            slice(math.ceil(4 / high), 8 - math.ceil(4 / high)),
            slice(math.ceil(6 / wide), 12 - math.ceil(6 / wide)),
        )
        torch.testing.assert_close(found[b][:, *inside], expected[:, *inside], atol=1e-5, rtol=1e-5)


def test_one_map_of_the_channels_equals_the_steps_one_by_one() -> None:
    raw = torch.rand(60, 3, 5, 6, generator=rng())
    scale = Scale(torch.tensor([0.3, 0.5, 0.4]), torch.tensor([0.2, 0.3, 0.1]), 0.0, 1.0)
    standard = (raw - scale.mean[:, None, None]) / scale.spread[:, None, None]
    of = drawn(60, 5, 6, jitter=1.0, grey=0.3)
    found = recolour(standard, maps_of(of, standard, scale))
    orders = list(permutations(range(4)))
    for b in range(60):
        expected = recoloured_one_by_one(raw[b].double().numpy(), of, b, orders[b % len(orders)])
        np.testing.assert_allclose(found[b].numpy(), expected, atol=1e-5)


def test_light_of_pictures_without_colour() -> None:
    raw = torch.rand(40, 1, 5, 6, generator=rng())
    scale = Scale(torch.zeros(1), torch.ones(1), 0.0, 1.0)
    of = drawn(40, 5, 6, channels=1)
    found = recolour(raw, maps_of(of, raw, scale))
    bright, contrast = of.jitter[:, 0, None, None, None], of.jitter[:, 1, None, None, None]
    mean = raw.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(found, (bright * (mean + contrast * (raw - mean))).clamp(0, 1), atol=1e-5, rtol=1e-5)


def test_opacity_moves_with_the_picture_and_keeps_its_values() -> None:
    values = np.full((16, 8, 8, 4), 255, np.uint8)
    values[..., :3] = pictures(1, 8, 8)
    values[:, :, :, 3] = np.arange(8, dtype=np.uint8) * 30
    domain, batch = prepared(values, **(EVERYTHING | {"blur": 0.0, "rotation": 0, "crop": None, "flip": 1.0}))
    view = domain.views(batch, rng(), 1)[0].inputs
    torch.testing.assert_close(view[:, 3], batch.inputs[:, 3].flip(2), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(view[:, :3], batch.inputs[:, :3].flip(3), atol=1e-2)


def test_blur_is_a_gaussian_for_those_chosen() -> None:
    values = torch.zeros(3, 2, 31, 31)
    values[:, :, 15, 15] = 1.0
    found = blur(values, torch.tensor([0.0, 1.0, 2.0]))
    assert torch.equal(found[0], values[0])
    at = torch.arange(31) - 15.0
    for b, sigma in ((1, 1.0), (2, 2.0)):
        assert abs(float(found[b, 0].sum()) - 1) < 1e-5
        deviation = float((found[b, 0].sum(0) * at**2).sum().sqrt())
        assert abs(deviation - sigma) < 0.04 * sigma  # three deviations of a Gaussian hold 98 % of its variance
    assert torch.equal(blur(values, torch.zeros(3)), values)
    assert blur(torch.rand(2, 1, 3, 3), torch.ones(2)).shape == (2, 1, 3, 3) and blur_radius(3, 3) == 2


def test_solarise_inverts_what_is_bright_for_those_chosen() -> None:
    values = torch.tensor([0.2, 0.5, 0.9]).reshape(1, 1, 1, 3).repeat(2, 4, 1, 1)
    found = solarise(values, torch.tensor([True, False]))
    torch.testing.assert_close(found[0, 0, 0], torch.tensor([0.2, 0.5, 0.1]))
    assert torch.equal(found[1], values[1]) and torch.equal(found[0, 3], values[0, 3])


@pytest.mark.parametrize("path", ["fused", "kornia"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_views_follow_their_generator_alone(path: str, channels: int) -> None:
    keys = EVERYTHING if channels > 1 else {"rotation": 40, "blur": 0.5, "solarise": 0.3}
    domain, batch = prepared(pictures(20, 8, 12, channels), path=path, **keys)
    before = torch.random.get_rng_state()
    one, again, other = domain.views(batch, rng(), 2), domain.views(batch, rng(), 2), domain.views(batch, rng(1), 2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one[0].inputs, one[1].inputs) and not torch.equal(one[0].inputs, other[0].inputs)
    for view in one:
        assert view.inputs.shape == batch.inputs.shape and bool(view.inputs.isfinite().all())
        assert torch.equal(view.index, batch.index) and torch.equal(view.offsets, batch.offsets)


def test_the_same_views_whole_or_in_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    domain, batch = prepared(pictures(23, 8, 12), **EVERYTHING)
    monkeypatch.setattr(module, "RUN", 8 * 12 * 3 * 5)
    parts = domain.views(batch, rng(), 3)
    monkeypatch.setattr(module, "RUN", 10**9)
    whole = domain.views(batch, rng(), 3)
    for a, b in zip(parts, whole, strict=True):
        torch.testing.assert_close(a.inputs, b.inputs, atol=1e-5, rtol=1e-5)


def test_each_change_happens_as_often_as_asked() -> None:
    count = 4000
    of = drawn(
        count, 8, 12, flip=0.3, rotation=10, rotated=0.6, jitter=0.5, jittered=0.7, grey=0.1, blur=0.4, solarise=0.2
    )
    shares = {
        0.3: of.flip,
        0.6: of.angle != 0,
        0.7: of.jitter[:, 0] != 1,
        0.1: of.grey,
        0.4: of.sigma > 0,
        0.2: of.solarise,
    }
    for share, happened in shares.items():
        assert abs(float(happened.float().mean()) - share) < 4.5 * math.sqrt(share * (1 - share) / count)


def test_nothing_on_changes_nothing() -> None:
    domain, batch = prepared(pictures(6, 8, 12), crop=None, flip=0, jitter=0)
    for view in domain.views(batch, rng(), 2):
        assert torch.equal(view.inputs, batch.inputs) and view.inputs is not batch.inputs


def test_views_of_bytes_stay_bytes_in_range_and_floats_in_theirs() -> None:
    values = pictures(20, 8, 8)
    for given, low, high in ((values, 0, 255), (values.astype(np.float32) / 100 - 1, -1, 1.55)):
        domain, batch = prepared(given, jitter=1.0)
        assert domain.reach == pytest.approx((low, high), abs=0.02)
        view = domain.views(batch, rng(), 1)[0].inputs
        mean, spread = (torch.tensor(v).float()[:, None, None] for v in (domain.mean, domain.spread))
        raw = view * spread + mean
        assert float(raw.min()) >= low - 1e-3 * (high - low) and float(raw.max()) <= high + 1e-3 * (high - low)


def test_bytes_and_the_same_as_floats_give_the_same_views() -> None:
    values = pictures(20, 8, 8)
    values[0, 0, 0], values[0, 0, 1] = 0, 255
    one, batch = prepared(values, **EVERYTHING)
    other, floats = prepared(values.astype(np.float32) / 255, **EVERYTHING)
    for a, b in zip(one.views(batch, rng()), other.views(floats, rng()), strict=True):
        torch.testing.assert_close(a.inputs, b.inputs, atol=1e-3, rtol=1e-3)


def test_labels_of_patches_do_not_go_with_a_view() -> None:
    domain, batch = prepared(pictures(4, 8, 8))
    labelled = replace(batch, element_targets={"part": torch.zeros(4 * 64)}, targets={"kind": torch.arange(4)})
    view = domain.views(labelled, rng(), 1)[0]
    assert not view.element_targets and torch.equal(view.targets["kind"], torch.arange(4))


def test_an_empty_batch_and_no_view() -> None:
    domain, batch = prepared(pictures(4, 8, 8), **EVERYTHING)
    assert [len(v.inputs) for v in domain.views(domain.collate([]), rng(), 2)] == [0, 0]
    assert domain.views(batch, rng(), 0) == []


def test_saved_and_loaded_views_are_the_same(tmp_path: Path) -> None:
    domain, batch = prepared(pictures(6, 8, 8).astype(np.float32) * 3, **EVERYTHING)
    domain.save(tmp_path)
    again = load_domain(tmp_path)
    assert isinstance(again, ImageDomain) and again.reach == domain.reach
    assert torch.equal(again.views(batch, rng())[1].inputs, domain.views(batch, rng())[1].inputs)


def test_colour_is_refused_when_the_corpus_is_read() -> None:
    with pytest.raises(InputError, match=r"domain.views.jitter: pictures of 1 channel have no colour"):
        prepared(pictures(4, 8, 8, 1), jitter=0.5)


def test_the_same_domain_with_other_views() -> None:
    domain, batch = prepared(pictures(6, 8, 8), crop=None, flip=0, jitter=1.0)
    still = domain.viewing({"jitter": 0})
    assert torch.equal(still.views(batch, rng(), 1)[0].inputs, batch.inputs)
    assert still.spec.views.crop is None, "keys that are not named stay as the domain has them"
    assert not torch.equal(domain.views(batch, rng(), 1)[0].inputs, batch.inputs)
    with pytest.raises(InputError, match=r"objective.viewing: unknown key 'jiter'; did you mean 'jitter'"):
        domain.viewing({"jiter": 0})


def test_only_domains_with_keys_of_views_take_others() -> None:
    from exapt.domains import ProteinSpec

    domain = ProteinSpec().build(from_arrays(["ACDEF"] * 4))
    with pytest.raises(InputError, match=r"objective\.viewing: ProteinDomain has no keys of views to change"):
        domain.viewing({"jitter": 0})


def test_an_objective_sets_views_otherwise() -> None:
    from exapt.backbones.convnet import ConvNetSpec
    from exapt.objectives import SimclrSpec

    domain, batch = prepared(pictures(6, 8, 8), crop=None, flip=0, jitter=1.0)
    backbone = ConvNetSpec(size="nano", stages=1).build(domain.inputs, seed=0)
    seen = [SimclrSpec(viewing=v).build(domain, backbone, seed=0).domain for v in ({}, {"jitter": 0})]
    assert seen[0] is domain
    assert torch.equal(seen[1].views(batch, rng(), 1)[0].inputs, batch.inputs)
