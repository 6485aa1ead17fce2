"""Frozen features: one example at a time gives the same, whatever the batching, order or mode."""

import numpy as np
import pytest
import torch
from adapt_standins import classify, pictures, small_start, tag

from exapt.adaptation import FeatureCache, embed, embed_elements
from exapt.errors import InputError


def plain(start, data, place):
    """The elements of one example without its ends, straight from the backbone."""
    batch = start.domain.collate([data[place]])
    start.backbone.eval()
    with torch.no_grad():
        elements = start.backbone(batch).elements
    ends = (len(elements) - int(start.domain.kept(data)[place])) // 2
    return elements[ends : len(elements) - ends] if ends else elements, elements


@pytest.mark.parametrize("build", [classify, pictures])
@pytest.mark.parametrize("batch_elements", [1, 60, 10000])
def test_features_equal_one_example_at_a_time(build, batch_elements):
    start, _, data = build(12)
    for pooling in ("mean", "max", "mean+max", "first", "last"):
        found = embed(start.backbone, start.domain, data, pooling, batch_elements)
        for place in range(len(data)):
            inner, every = plain(start, data, place)
            parts = {"mean": inner.mean(0), "max": inner.amax(0), "first": every[0], "last": every[-1]}
            expected = torch.cat([parts[part] for part in pooling.split("+")])
            np.testing.assert_allclose(found[place], expected.numpy(), atol=2e-5)


def test_elements_are_those_that_have_labels():
    start, task, data = tag(12)
    values, offsets = embed_elements(start.backbone, start.domain, data, batch_elements=50)
    kept = start.domain.kept(data)
    assert (kept < data.lengths).any()
    np.testing.assert_array_equal(np.diff(offsets), kept)
    assert len(values) == len(task.truth(data, kept))
    for place in range(len(data)):
        np.testing.assert_allclose(values[offsets[place] : offsets[place + 1]], plain(start, data, place)[0], atol=2e-5)


def test_order_follows_the_data_set():
    start, _, data = classify(20)
    order = np.random.default_rng(0).permutation(20)
    first = embed(start.backbone, start.domain, data)
    np.testing.assert_allclose(embed(start.backbone, start.domain, data.subset(order)), first[order], atol=2e-5)
    np.testing.assert_array_equal(embed(start.backbone, start.domain, data), first)


def test_dropout_is_off_and_every_mode_is_given_back():
    _, _, data = classify(10)
    start = small_start(classify(10)[0].domain, dropout=0.5)
    start.backbone.train()
    start.backbone.blocks[1].eval()
    modes = [part.training for part in start.backbone.modules()]
    first, second = (embed(start.backbone, start.domain, data) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert [part.training for part in start.backbone.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in start.backbone.parameters())


def test_the_last_layers_averaged():
    start, _, data = classify(6)
    deep = small_start(start.domain, depth=3)
    backbone = deep.backbone
    seen = []
    handles = [block.register_forward_hook(lambda _b, _i, out: seen.append(out)) for block in backbone.blocks[1:-1]]
    plain(deep, data, 4)
    for handle in handles:
        handle.remove()
    final = backbone.blocks[-1]
    with torch.no_grad():
        layers = [final(part)[1:-1].mean(0) for part in seen]
    for count in (1, 2, 3):
        found = embed(backbone, deep.domain, data.subset([4]), layers=count)
        np.testing.assert_allclose(found[0], torch.stack(layers[-count:]).mean(0).numpy(), atol=2e-5)
    with pytest.raises(InputError, match="layers: 4; this backbone has 3"):
        embed(backbone, deep.domain, data, layers=4)


def test_nothing_to_embed():
    start, _, data = classify(6)
    assert embed(start.backbone, start.domain, data.subset([])).shape == (0, 16)
    assert embed(start.backbone, start.domain, data.subset([]), "mean+max").shape == (0, 32)
    values, offsets = embed_elements(start.backbone, start.domain, data.subset([]))
    assert values.shape == (0, 16)
    assert offsets.tolist() == [0]


def test_a_cache_embeds_each_example_once(monkeypatch):
    start, _, data = classify(12)
    expected = embed(start.backbone, start.domain, data)
    cache, calls = FeatureCache(), []
    forward = start.backbone.forward
    monkeypatch.setattr(start.backbone, "forward", lambda batch: calls.append(len(batch)) or forward(batch))
    first = cache.rows(start.backbone, start.domain, data.subset(range(8)), "mean")
    again = cache.rows(start.backbone, start.domain, data.subset([7, 2, 9, 7]), "mean")
    assert sum(calls) == 9
    np.testing.assert_allclose(np.stack(first), expected[:8], atol=2e-5)
    np.testing.assert_allclose(np.stack(again), expected[[7, 2, 9, 7]], atol=2e-5)
    cache.rows(start.backbone, start.domain, data.subset([7]), "max")
    assert sum(calls) == 10


def test_a_full_cache_computes_without_keeping():
    start, _, data = classify(6)
    cache = FeatureCache(limit=3 * 16 * 4)
    rows = cache.rows(start.backbone, start.domain, data, "mean")
    assert len(cache.kept) == 3
    np.testing.assert_allclose(np.stack(rows), embed(start.backbone, start.domain, data), atol=2e-5)
