"""Attention against loops over single pairs; hand-written gradients against finite differences."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from exapt.backbones import attention, fused
from exapt.backbones.layout import Layout, Rule, View, Way, lay_out, view
from exapt.backbones.rotary import rotate, turns
from exapt.batch import offsets_of

HEADS, HEAD = 2, 8
RULES = [Rule(100.0), Rule(100.0, causal=True), Rule(50.0, reach=2), Rule(50.0, causal=True, reach=3)]
LENGTHS = [[4, 9, 1], [6, 6], [0, 5, 0, 3]]


def example(lengths: list[int], axes: int = 0) -> tuple[Tensor, Tensor, Tensor | None]:
    """Random qkv (N, 3 · D) in double precision, offsets, and positions where axes are asked for."""
    rng = torch.Generator().manual_seed(sum(lengths))
    qkv = torch.randn(sum(lengths), 3 * HEADS * HEAD, generator=rng, dtype=torch.float64)
    positions = torch.randint(0, 6, (sum(lengths), axes), generator=rng) if axes else None
    return qkv, offsets_of(torch.tensor(lengths)), positions


def prepare(offsets: Tensor, rule: Rule, positions: Tensor | None, way: Way) -> tuple[Layout, View]:
    layout = lay_out(offsets, torch.device("cpu"), way)
    return layout, view(layout, rule, positions, HEAD, torch.float64)


def angle(pair: int, place: list[float], theta: float) -> float:
    """The angle of one pair of features, written out."""
    pairs = HEAD // 2 // len(place)
    return place[pair // pairs] * theta ** -((pair % pairs) / pairs)


def turned(vector: Tensor, place: list[float], theta: float) -> Tensor:
    out = vector.clone()
    for i in range(HEAD // 2):
        a, (x, y) = angle(i, place, theta), (vector[i], vector[i + HEAD // 2])
        out[i], out[i + HEAD // 2] = x * math.cos(a) - y * math.sin(a), y * math.cos(a) + x * math.sin(a)
    return out


def naive(qkv: Tensor, offsets: Tensor, rule: Rule, positions: Tensor | None) -> Tensor:
    """One example, head and query at a time."""
    out = torch.zeros(len(qkv), HEADS, HEAD, dtype=qkv.dtype)
    for start, stop in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
        places = [[float(i)] for i in range(stop - start)] if positions is None else positions[start:stop].tolist()
        for head in range(HEADS):
            q, k, v = qkv[start:stop].view(-1, 3, HEADS, HEAD)[:, :, head].unbind(1)
            for i in range(stop - start):
                seen = [j for j in range(stop - start) if may_see(i, j, places, rule)]
                query = turned(q[i], places[i], rule.theta) / math.sqrt(HEAD)
                scores = torch.stack([query @ turned(k[j], places[j], rule.theta) for j in seen])
                out[start + i, head] = scores.softmax(0) @ v[seen]
    return out.flatten(1)


def may_see(i: int, j: int, places: list[list[float]], rule: Rule) -> bool:
    if rule.causal and j > i:
        return False
    far = max(abs(a - b) for a, b in zip(places[i], places[j], strict=True))
    return rule.reach is None or far <= rule.reach


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("way", ["plain", "fused"])
@pytest.mark.parametrize("axes", [0, 2])
def test_every_way_equals_the_loop(lengths: list[int], rule: Rule, way: Way, axes: int) -> None:
    qkv, offsets, positions = example(lengths, axes)
    result = attention.attend(qkv, HEADS, *prepare(offsets, rule, positions, way))
    torch.testing.assert_close(result, naive(qkv, offsets, rule, positions), atol=1e-6, rtol=1e-6)


def fake_varlen(
    q: Tensor, k: Tensor, v: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, **options: Any
) -> Tensor:
    """What torch documents of `varlen_attn`, one example at a time."""
    left, right = options["window_size"]
    assert cu_q.dtype == torch.int32 and max_q == max_k == int(cu_q.diff().max()) and torch.equal(cu_q, cu_k)
    out = torch.zeros_like(v)
    for start, stop in zip(cu_q[:-1].tolist(), cu_q[1:].tolist(), strict=True):
        at = torch.arange(stop - start)
        ahead = at[None] - at[:, None]
        blocked = (ahead > right if right >= 0 else ahead < -stop) | (-ahead > left if left >= 0 else ahead < -stop)
        scores = torch.einsum("ihd,jhd->hij", q[start:stop], k[start:stop]) * options["scale"]
        weights = scores.masked_fill(blocked, -torch.inf).softmax(-1)
        out[start:stop] = torch.einsum("hij,jhd->ihd", weights, v[start:stop])
    return out


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("rule", RULES)
def test_the_packed_way_equals_the_loop(lengths: list[int], rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in for the GPU's kernel: layout, rotation, scale and window are what it is given."""
    varlen = pytest.importorskip("torch.nn.attention.varlen")
    monkeypatch.setattr(varlen, "varlen_attn", fake_varlen)
    qkv, offsets, _ = example(lengths)
    result = attention.attend(qkv, HEADS, *prepare(offsets, rule, None, "packed"))
    torch.testing.assert_close(result, naive(qkv, offsets, rule, None), atol=1e-6, rtol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("rule", RULES)
def test_the_packed_way_on_a_gpu(rule: Rule) -> None:
    qkv, offsets, _ = example([40, 70, 1])
    half = qkv.to("cuda", torch.bfloat16)
    if attention.way_for(half, False) != "packed":
        pytest.skip("this torch or GPU has no variable-length attention")
    layout = lay_out(offsets, half.device, "packed")
    result = attention.attend(half, HEADS, layout, view(layout, rule, None, HEAD, half.dtype))
    expected = attention.attend(qkv, HEADS, *prepare(offsets, rule, None, "plain"))
    torch.testing.assert_close(result.double().cpu(), expected, atol=5e-2, rtol=5e-2)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kept", [True, False])
def test_gradient_of_attention(rule: Rule, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not kept:
        monkeypatch.setattr(fused, "KEEP", 0)
    qkv, offsets, _ = example([3, 0, 5])
    layout, seen = prepare(offsets, rule, None, "fused")
    qkv.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: fused.FusedAttention.apply(x, HEADS, layout, seen), (qkv,))


@pytest.mark.parametrize("piece", [1, 4 * 4, 2 * 2 * 4 * 4, 2**19])
def test_pieces_make_no_difference(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    qkv, offsets, _ = example([4, 2, 3, 4, 1])
    layout, seen = prepare(offsets, RULES[0], None, "fused")
    whole = fused.FusedAttention.apply(qkv, HEADS, layout, seen)
    monkeypatch.setattr(fused, "PIECE", piece)
    torch.testing.assert_close(fused.FusedAttention.apply(qkv, HEADS, layout, seen), whole)


def test_pieces_cover_every_head_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for piece in (1, 16, 40, 100, 10**6):
        monkeypatch.setattr(fused, "PIECE", piece)
        covered = torch.zeros(5, 3, 4, 1)
        for at in fused.pieces(covered):
            assert covered[at].flatten(0, 1).data_ptr() == covered[at].data_ptr()
            covered[at] += 1
        assert (covered == 1).all()


@pytest.mark.parametrize("contiguous", [True, False])
def test_geglu(contiguous: bool) -> None:
    both = torch.randn(5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    both = both if contiguous else both.T.contiguous().T
    both.requires_grad_()
    torch.testing.assert_close(fused.FusedGeglu.apply(both), fused.geglu(both))
    assert torch.autograd.gradcheck(fused.FusedGeglu.apply, (both,))


@pytest.mark.parametrize("axes", [1, 2])
def test_rotation_is_relative(axes: int) -> None:
    """Products of turned vectors depend on the difference of their places, along each axis."""
    rng = torch.Generator().manual_seed(axes)
    q, k = torch.randn(2, 16, generator=rng, dtype=torch.float64)
    here, there, shift = torch.randint(0, 20, (3, axes), generator=rng)

    def product(a: Tensor, b: Tensor) -> Tensor:
        return rotate(q, *turns(a, 16, 100.0)) @ rotate(k, *turns(b, 16, 100.0))

    torch.testing.assert_close(product(here, there), product(here + shift, there + shift), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(product(here, here), q @ k, atol=1e-5, rtol=1e-5)
    for axis in range(axes):
        moved = there.clone()
        moved[axis] += 1
        assert (product(here, there) - product(here, moved)).abs() > 1e-4


def test_turning_back() -> None:
    values = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    cos, sin = turns(torch.tensor([[0], [3], [9]]), 8, 100.0)
    torch.testing.assert_close(rotate(rotate(values, cos, sin), cos, -sin), values)


@pytest.mark.parametrize("axes", [1, 2])
def test_tables_of_shared_places_are_those_of_each(axes: int) -> None:
    """A batch of pictures has few cells; their sines are worked out once and looked up."""
    places = torch.randint(0, 6, (64 * 24, axes), generator=torch.Generator().manual_seed(0))
    layout = lay_out(torch.arange(65) * 24, torch.device("cpu"), "plain")
    found = view(layout, Rule(100.0), places, 16, torch.float32)
    few = [
        view(lay_out(torch.tensor([0, 24]), torch.device("cpu"), "plain"), Rule(100.0), some, 16, torch.float32)
        for some in places.split(24)
    ]
    assert torch.equal(found.cos, torch.cat([one.cos for one in few], 1))
    assert torch.equal(found.sin, torch.cat([one.sin for one in few], 1))
