"""Contacts: pairs, labels, precision, the head and its loss against naive sums; mistakes in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from exapt.adaptation import FinetuneSpec, MapsSpec, Start, fit, load_fitted
from exapt.backbones import TransformerSpec
from exapt.batch import Features
from exapt.domains import ProteinSpec, Source, from_arrays
from exapt.errors import InputError
from exapt.tasks import ContactsSpec, load_task
from exapt.tasks.contact_scores import mean_with_interval, precision_at, residues, table
from exapt.tasks.pair_head import PairHead, PairHeadSpec
from exapt.tasks.pairs import contacts_of, from_square, in_range, length_of, pair_count, pair_places

PROTEIN = ProteinSpec(length=34).build()


def attached(path: str = "potts:2x2x20", **words):
    dataset = PROTEIN.read(Source(path=path, group="family"))
    task = ContactsSpec(range="all", **words).build(dataset)
    return task, task.attach(dataset)


def small(seed: int = 0):
    return TransformerSpec(width=16, depth=2, heads=2, hidden=24).build(PROTEIN.inputs, seed=seed)


def test_a_shorter_chains_pairs_are_the_first() -> None:
    first, second = pair_places(5)
    assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(i, j) for j in range(5) for i in range(j)]
    assert (pair_places(4)[0] == first[: pair_count(4)]).all() and length_of(pair_count(37)) == 37
    square = torch.arange(25.0).reshape(5, 5)
    assert from_square(square).tolist() == [float(5 * i + j) for j in range(5) for i in range(j)]


def test_ranges_are_casps() -> None:
    first, second = pair_places(40)
    for name, low, high in (("short", 6, 11), ("medium", 12, 23), ("long", 24, 39), ("all", 6, 39)):
        assert {*(second - first)[in_range(40, name)].tolist()} == set(range(low, high + 1))
    with pytest.raises(InputError, match="range 'far'; valid: short"):
        in_range(40, "far")


def test_contacts_by_distance_gaps_unknown() -> None:
    rng = np.random.default_rng(0)
    places = rng.normal(0, 6, (20, 3))
    places[4] = np.nan
    found = contacts_of(places, 8.0)
    for k, (i, j) in enumerate(zip(*pair_places(20), strict=True)):
        near = np.linalg.norm(places[i] - places[j]) < 8
        assert found[k] == (-1 if j - i < 6 or 4 in (i, j) else int(near))


def test_precision_by_counting() -> None:
    rng = np.random.default_rng(1)
    places = rng.normal(0, 7, (30, 3))
    places[7] = np.nan
    truth, scores = contacts_of(places, 8.0), rng.random(pair_count(30))
    assert residues(truth) == 29
    for divisor in (1, 2, 5):
        pairs = [
            (s, t)
            for s, t, i, j in zip(scores, truth, *pair_places(30), strict=True)
            if t >= 0 and j - i >= 12 and j - i < 24
        ]
        best = sorted(pairs, reverse=True)[: 29 // divisor]
        assert precision_at(scores, truth, "medium", divisor) == pytest.approx(np.mean([t for _, t in best]))


def test_equal_scores_count_as_if_drawn() -> None:
    """A map that says nothing has the precision of chance, wherever the contacts stand in the list."""
    truth = contacts_of(np.random.default_rng(3).normal(0, 7, (30, 3)), 8.0)
    known = in_range(30, "all")
    assert precision_at(np.zeros(len(truth)), truth, "all") == pytest.approx((truth[known] == 1).mean())
    two = np.where(np.arange(len(truth)) % 2, 1.0, 0.0)
    best = known & (two == 1.0)
    assert precision_at(two, truth, "all") == pytest.approx((truth[best] == 1).mean())


def test_no_contact_in_a_range_is_no_score_and_answers_that_are_not_finite_come_last() -> None:
    truth = np.full(pair_count(8), -1, dtype=np.int8)
    truth[[21, 22]] = [0, 1]  # (0, 7) and (1, 7)
    scores = np.where(np.arange(len(truth)) == 21, np.nan, 0.0)
    assert np.isnan(precision_at(scores, truth, "long")) and precision_at(scores, truth, "short", 5) == 1.0


def test_the_mean_over_chains_and_its_interval() -> None:
    found = mean_with_interval(np.array([0.0, 1.0, np.nan, 0.5]))
    assert found["mean"] == 0.5 and found["n"] == 3 and found["low"] < 0.5 < found["high"]
    assert mean_with_interval(np.array([np.nan]))["n"] == 0


def test_the_table_has_every_range_and_cut() -> None:
    task, data = attached()
    truth = task.truth(data)
    found = table((truth == 1).astype(float), truth)
    assert len(found) == 12 and found["P@L/5 all"]["mean"] == 1.0


def test_the_head_is_symmetric_and_alone_with_each_chain() -> None:
    torch.manual_seed(0)
    head = PairHead(PairHeadSpec(rank=4, dropout=0.0), 8, seed=0)
    torch.nn.init.normal_(head.out.weight)
    values = torch.randn(19, 8)
    square = head.square(head.norm(values[:12]))
    assert torch.allclose(square, square.T)
    both = head(Features(values, torch.tensor([0, 12, 19])))
    assert both.shape == (2, pair_count(12)) and both[1, pair_count(7) :].isnan().all()
    assert torch.allclose(both[0], from_square(square))
    assert torch.allclose(both[1, : pair_count(7)], head(Features(values[12:], torch.tensor([0, 7])))[0], atol=1e-6)


def test_the_loss_is_the_mean_over_known_pairs() -> None:
    task, data = attached()
    batch = PROTEIN.collate([data[i] for i in range(3)])
    output = torch.randn(3, pair_count(20), dtype=torch.float64)
    truth = torch.from_numpy(task.truth(data.subset([0, 1, 2])).astype(int))
    wanted = [
        torch.nn.functional.softplus(-z if t else z)
        for row, labels in zip(output, truth, strict=True)
        for z, t in zip(row, labels, strict=True)
        if t >= 0
    ]
    loss = task.loss(output, batch)
    assert loss.count == len(wanted) and float(loss.value) == pytest.approx(float(torch.stack(wanted).mean()), rel=1e-5)


def test_a_chain_longer_than_the_network_sees_still_counts() -> None:
    domain = ProteinSpec(length=14).build()
    dataset = domain.read(Source(path="potts:1x2x20"))
    task = ContactsSpec(range="all").build(dataset)
    data = task.attach(dataset)
    network = TransformerSpec(width=16, depth=1, heads=2).build(domain.inputs, seed=0)
    output = task.ask(network, task.head(16, 0), domain.collate(list(data)))
    assert output.shape == (2, pair_count(12))
    assert 0 <= task.metric(task.decode(output), task.truth(data)) <= 1
    assert task.loss(output, domain.collate(list(data))).count > 0


def test_nan_answers_score_chance_and_lose() -> None:
    task, data = attached()
    truth = task.truth(data)
    assert task.metric(np.full(truth.shape, np.nan), truth) == task.chance(truth)
    assert task.loss(torch.full(truth.shape, torch.nan), PROTEIN.collate(list(data))).value.isnan()


def test_fine_tuning_keeps_predicts_and_loads(tmp_path) -> None:
    task, data = attached("potts:2x4x16")
    spec = FinetuneSpec(probe_first=False, rates=[0.003], min_steps=6, max_steps=6, batch=4, evaluations=2)
    fitted = fit(spec, Start(PROTEIN, small()), task, data.subset([0, 1, 2, 4, 5]), data.subset([3, 6]), 0)
    assert fitted.record["valid_score"] > 0 and not fitted.record["diverged"]
    again = load_fitted(fitted.save(tmp_path / "f"))
    assert np.array_equal(again.predict(data), fitted.predict(data))


@pytest.mark.parametrize("of", ["attention", "separation"])
def test_maps_are_fitted_kept_and_loaded(tmp_path, of) -> None:
    task, data = attached("potts:2x3x16")
    fitted = fit(MapsSpec(of=of), Start(PROTEIN, small()), task, data.subset([0, 1, 3]), data.subset([4]), 0)
    assert fitted.predict(data).shape == (6, pair_count(16)) and 0 <= fitted.record["valid_score"] <= 1
    again = load_fitted(fitted.save(tmp_path / "f"))
    assert np.allclose(again.predict(data), fitted.predict(data))


def test_a_task_comes_back_from_its_plain_form() -> None:
    task, _ = attached(cutoff=7.5)
    assert load_task(task.plain()).spec == task.spec


@pytest.mark.parametrize(
    ("label", "message"),
    [
        ([[[0, 0, 0]] * 9], "places 9 residues, but the example has 10"),
        ([[[0, 0]] * 10], "has 2 numbers a residue; expected 3"),
        (["HHHHHHHHHH"], "expected .x, y, z. in Å"),
    ],
)
def test_wrong_places(label, message) -> None:
    dataset = PROTEIN.read(from_arrays(["ACDEFGHIKL"], label=label))
    with pytest.raises(InputError, match=message):
        ContactsSpec().build(dataset).attach(dataset)


def test_sequences_alone_have_no_contacts() -> None:
    with pytest.raises(InputError, match=r"no places in space .* give a folder of .pdb or .cif"):
        ContactsSpec().build(PROTEIN.read(from_arrays(["ACDEFGHIKL"])))
