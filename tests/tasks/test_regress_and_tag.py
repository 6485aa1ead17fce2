"""Regression on its own scale, and classes of single elements."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from task_standins import batch_of, dataset

from exapt.domains import DnaSpec, ProteinSpec, from_arrays
from exapt.errors import InputError
from exapt.tasks import RegressSpec, TagSpec, load_task

NAN = math.nan


def outputs(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), requires_grad=True)


# --- regression ----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(*[st.one_of(st.floats(-9, 9), st.just(NAN))] * 2), max_size=8), st.integers(0, 99))
def test_loss_is_the_squared_error_of_standardised_known_values(pairs: list, seed: int) -> None:
    rows = [*pairs, (1.0, 100.0), (3.0, 500.0)]
    columns = {"a": [p[0] for p in rows], "b": [p[1] for p in rows]}
    data = dataset(columns)
    task = RegressSpec().build(data)
    data = task.attach(data)
    out = outputs(len(rows), 2, seed)
    total, count = 0.0, 0
    for k, values in enumerate(columns.values()):
        known = [v for v in values if not math.isnan(v)]
        mean = sum(known) / len(known)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in known) / len(known)) or 1.0
        for i, value in enumerate(values):
            if not math.isnan(value):
                total += (float(out[i, k].detach()) - (value - mean) / deviation) ** 2
                count += 1
    loss = task.loss(out, batch_of(data, task))
    assert loss.count == count
    assert float(loss.value.detach()) == pytest.approx(total / count, rel=1e-4)
    loss.value.backward()
    assert out.grad is not None
    assert not out.grad[torch.as_tensor(task.truth(data)).isnan()].any()


def test_decoded_outputs_are_in_the_labels_own_units() -> None:
    data = dataset([10.0, 30.0, 50.0])
    task = RegressSpec().build(data)
    centre, spread = 30.0, math.sqrt(800 / 3)
    np.testing.assert_allclose(task.decode(torch.tensor([[0.0], [1.0]])), [[centre], [centre + spread]])
    truth = task.truth(task.attach(data))
    assert task.metric(truth, truth) == 1.0


def test_calibration_takes_the_scale_of_the_training_part_only() -> None:
    data = dataset([0.0, 2.0, 1000.0, 3000.0])
    task = RegressSpec().build(data)
    part = task.calibrated(task.attach(data).subset([0, 1]))
    assert (part.centre.tolist(), part.scale.tolist()) == ([1.0], [1.0])
    assert part.spread.tolist() == task.scale.tolist()
    assert part.decode(torch.zeros(1, 1)).tolist() == [[1.0]]
    same = task.calibrated(task.attach(data).subset([0, 0]))
    assert same.scale.tolist() == [1.0]


@pytest.mark.parametrize(
    ("metric", "measure"),
    [
        ("R2", oracle.r2_score),
        ("Pearson", lambda t, p: float(np.corrcoef(t, p)[0, 1])),
        ("Spearman", lambda t, p: float(np.corrcoef(t.argsort().argsort(), p.argsort().argsort())[0, 1])),
        ("MAE", lambda t, p: -float(np.abs(t - p).mean())),
    ],
)
def test_metrics_of_one_and_of_two_columns(metric: str, measure: object) -> None:
    draw = np.random.default_rng(0)
    a, b = draw.normal(size=30), 1000 * draw.normal(size=30)
    p = np.column_stack([a + draw.normal(size=30), b + 500 * draw.normal(size=30)])
    one = RegressSpec(metric=metric).build(dataset(a))
    assert one.metric(p[:, :1], a[:, None]) == pytest.approx(measure(a, p[:, 0]))
    assert one.metric(p[:, 0], a) == pytest.approx(measure(a, p[:, 0]))
    b[5:9] = NAN
    both = RegressSpec(metric=metric).build(dataset({"a": a, "b": b}))
    seen = ~np.isnan(b)
    parts = [measure(a, p[:, 0]), measure(b[seen], p[seen, 1])]
    if metric == "MAE":
        parts = [parts[0] / a.std(), parts[1] / b[seen].std()]
        assert both.metric_name == "−MAE in standard deviations"
    truth = np.column_stack([a, b])
    assert both.metric(p, truth) == pytest.approx(np.mean(parts))
    assert both.metric(np.where(p > 0, np.nan, p), truth) == both.chance(truth)
    mean = np.tile(both.centre, (30, 1))
    if metric in ("R2", "MAE"):
        assert both.chance(truth) == pytest.approx(both.metric(mean, truth))


def test_item_scores_are_bounded() -> None:
    task = RegressSpec().build(dataset([-1.0, 1.0]))
    scores = task.item_scores(np.array([0.0, 0.5, 99.0, NAN, 0.0]), np.array([0.0, 0.0, 0.0, 0.0, NAN]))
    assert scores[:4].tolist() == [0.0, -0.25, -9.0, -9.0]
    assert np.isnan(scores[4])


def test_strata_are_tenths() -> None:
    values = np.random.default_rng(0).permutation(100).astype(float)
    task = RegressSpec().build(dataset(values))
    strata = task.strata(task.attach(dataset(values)))
    assert np.bincount(strata).tolist() == [10] * 10
    assert all(strata[i] == values[i] // 10 for i in range(100))


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        (["1.5", "high"], {}, r"file\.csv: row 2: 'label' is 'high'; a regression needs numbers"),
        ([1.0, NAN, 2.0], {}, r"file\.csv: row 2: 'label' is empty"),
        (["1", "", "2"], {"missing": "refuse"}, "row 2: 'label' is empty"),
        ([1.0, math.inf], {}, "row 2: 'label' is infinite"),
        ([2.0, 2.0], {}, "holds only the value 2; .*different numbers"),
        ([NAN, NAN], {"missing": "ignore"}, "holds no number at all"),
    ],
)
def test_bad_numbers_are_named(labels: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RegressSpec(**options).build(dataset(labels))


def test_missing_numbers_may_be_ignored() -> None:
    data = dataset(["1", "", "2"])
    task = RegressSpec(missing="ignore").build(data)
    assert task.labelled(task.attach(data)).tolist() == [True, False, True]


def test_a_regression_is_restored_from_its_plain_form() -> None:
    data = dataset({"a": [1.0, 2.0, 4.0], "b": [5.0, NAN, 6.0]})
    task = RegressSpec(metric="MAE").build(data)
    part = task.calibrated(task.attach(data).subset([0, 1]))
    assert load_task(part.plain()).plain() == part.plain()


# --- tagging -------------------------------------------------------------------------------------------------


def structure(labels: list, lengths: list[int] | None = None) -> object:
    lengths = lengths or [len(v) for v in labels]
    return dataset(labels, values=[np.zeros(n, dtype=np.int64) for n in lengths], name="structure")


def test_letters_are_classes_and_marks_are_missing() -> None:
    data = structure(["HHEC", "C?H", "E"])
    task = TagSpec().build(data)
    assert task.classes == ["C", "E", "H"]
    data = task.attach(data)
    assert [r.tolist() for r in data.element_targets["label"]] == [[2, 2, 1, 0], [0, -1, 2], [1]]
    assert task.truth(data).tolist() == [2, 2, 1, 0, 0, -1, 2, 1]
    assert task.truth(data, kept=np.array([2, 3, 0])).tolist() == [2, 2, 0, -1, 2]
    assert task.truth(data.subset([])).tolist() == []
    assert task.counts(data) == {"C": 2, "E": 2, "H": 3}


def test_lists_and_separated_values_are_labels_too() -> None:
    numbers = [[0, 1, -1], [None, 1], [0, 0]]
    task = TagSpec().build(structure(numbers))
    assert task.classes == ["0", "1"]
    assert task.truth(task.attach(structure(numbers))).tolist() == [0, 1, -1, -1, 1, 0, 0]
    spelled = structure(["10 2 -1", "2 2"], [3, 2])
    task = TagSpec(separator=" ").build(spelled)
    assert task.classes == ["2", "10"]
    assert task.truth(task.attach(spelled)).tolist() == [1, 0, -1, 0, 0]


def test_more_than_twenty_classes_of_elements_are_fine() -> None:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    assert TagSpec().build(structure([letters, letters])).outputs == 26


def test_tag_loss_and_score_go_by_labelled_elements() -> None:
    data = structure(["HH?C", "CCC"])
    task = TagSpec().build(data)
    data = task.attach(data)
    out = outputs(7, 2)
    truth = [1, 1, -1, 0, 0, 0, 0]
    p = task.decode(out)
    expected = -sum(math.log(p[i, t]) for i, t in enumerate(truth) if t >= 0) / 6
    loss = task.loss(out, batch_of(data, task))
    assert loss.count == 6
    assert float(loss.value.detach()) == pytest.approx(expected, rel=1e-5)
    right = sum(int(p[i].argmax() == t) for i, t in enumerate(truth) if t >= 0)
    assert task.metric(p, task.truth(data)) == pytest.approx(right / 6)
    assert np.isnan(task.item_scores(p, task.truth(data))[2])


@pytest.mark.parametrize(
    ("labels", "lengths", "message"),
    [
        (["HH", "HEC"], [2, 4], r"file\.csv: row 2: 'structure' labels 3 elements, but the example has 4"),
        (["HH", ""], [2, 2], "row 2: 'structure' is empty"),
        (["HH", "H?"], [2, 2], "holds only 'H'"),
        (["??", "?"], [2, 1], "holds no label at all"),
    ],
)
def test_bad_element_labels_are_named(labels: list, lengths: list[int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TagSpec().build(structure(labels, lengths))


def test_a_class_of_elements_that_is_not_known_is_named() -> None:
    task = TagSpec().build(structure(["HE"]))
    with pytest.raises(InputError, match="row 1: 'structure' holds 'C'; known classes: E, H"):
        task.attach(structure(["HC"]))
    with pytest.raises(InputError, match="takes one label column, found a, b"):
        TagSpec().build(dataset({"a": ["H"], "b": ["E"]}))


def test_ends_that_collate_adds_have_no_label() -> None:
    """With a real domain: start and end tokens are among the elements and cost nothing."""
    source = from_arrays(["MKV", "AC"], label=["HHC", "C?"])
    domain = ProteinSpec(length=16).build()
    data = domain.read(source)
    task = TagSpec().build(data)
    data = task.attach(data)
    batch = domain.collate([data[0], data[1]])
    assert batch.element_targets["label"].tolist() == [-1, 1, 1, 0, -1, -1, 0, -1, -1]
    assert task.loss(outputs(9, 2), batch).count == 4


def test_tag_is_restored_from_its_plain_form() -> None:
    task = TagSpec(metric="macro-F1", separator=",").build(structure(["H,E"], [2]))
    assert load_task(task.plain()).plain() == task.plain()


def test_sites_of_any_kind_against_none() -> None:
    domain = ProteinSpec(length=16).build()
    data = domain.read(from_arrays(["MKVA", "GGF"], label=["0140", "?04"]))
    task = TagSpec(metric="AUC", against="0").build(data)
    assert task.classes == ["0", "other"]
    assert [row.tolist() for row in task.attach(data).element_targets["label"]] == [[0, 1, 1, 0], [-1, 0, 1]]


def test_numbers_over_all_elements_are_divided_by_how_many_there_are() -> None:
    source = from_arrays(["ACGT", "AC", "ACGTAC"], label=[8.0, 3.0, 6.0])
    data = DnaSpec().build().read(source)
    per = RegressSpec(per="element").build(data)
    assert per.attach(data).targets["label"].ravel().tolist() == [2.0, 1.5, 1.0]
    assert per.centre.tolist() == [1.5]


def test_a_key_that_came_later_is_written_only_where_it_says_something() -> None:
    assert "per" not in RegressSpec().plain() and RegressSpec(per="element").plain()["per"] == "element"
    assert RegressSpec.parse(RegressSpec().plain()) == RegressSpec()


# --- logarithms and relative errors --------------------------------------------------------------------------


def test_a_task_of_logarithms() -> None:
    values = np.array([1.0, 10.0, 100.0, 4.0])
    data = dataset(values)
    task = RegressSpec(log=True, metric="MAPE").build(data)
    data = task.attach(data)
    logs = np.log(values)
    centre, scale = logs.mean(), logs.std()
    np.testing.assert_allclose(task.truth(data)[:, 0], values)
    out = outputs(4, 1)
    expected = ((out.detach().numpy()[:, 0] - (logs - centre) / scale) ** 2).mean()
    assert float(task.loss(out, batch_of(data, task)).value.detach()) == pytest.approx(expected, rel=1e-5)
    np.testing.assert_allclose(task.decode(torch.tensor([[0.0], [1.0]]))[:, 0], np.exp([centre, centre + scale]))
    np.testing.assert_allclose(task.decode(torch.from_numpy(task.standard(values[:, None])))[:, 0], values)
    assert task.calibrated(data.subset([0, 2])).centre.tolist() == [pytest.approx(np.log(10))]
    assert task.metric_name == "−MAPE in %"


def test_relative_errors_against_the_oracle() -> None:
    draw = np.random.default_rng(0)
    truth = draw.uniform(1, 9, 30)
    predicted = truth * draw.uniform(0.5, 1.5, 30)
    task = RegressSpec(log=True, metric="MAPE").build(dataset(truth))
    assert task.metric(predicted, truth) == pytest.approx(
        -100 * oracle.mean_absolute_percentage_error(truth, predicted)
    )
    middle = np.full(30, np.exp(np.log(truth).mean()))
    assert task.chance(truth) == pytest.approx(-100 * oracle.mean_absolute_percentage_error(truth, middle))
    expected = -((np.log(predicted / truth) / np.log(truth).std()) ** 2)
    np.testing.assert_allclose(task.item_scores(predicted, truth), np.maximum(expected, -9))


def test_strata_of_logarithms_are_those_of_the_labels() -> None:
    values = np.random.default_rng(0).permutation(40).astype(float) + 1
    plain, logs = (RegressSpec(log=log).build(dataset(values)) for log in (False, True))
    np.testing.assert_array_equal(
        logs.strata(logs.attach(dataset(values))), plain.strata(plain.attach(dataset(values)))
    )


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([1.0, 0.0, 2.0], {"log": True}, r"file\.csv: row 2: 'label' is 0; task\.log needs positive labels$"),
        ([1.0, 3.0, -2.0], {"log": True}, r"row 3: 'label' is -2; task\.log needs positive labels$"),
        ([1.0, 0.0, 2.0], {"metric": "MAPE"}, r"row 2: 'label' is 0; task\.metric=MAPE needs labels other than 0$"),
    ],
)
def test_labels_that_have_no_logarithm_or_no_relative_error(labels: list, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        RegressSpec(**options).build(dataset(labels))
