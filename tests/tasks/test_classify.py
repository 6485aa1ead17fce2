"""Classification, of one class or several labels: losses against loops, bad labels by file and row."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from task_standins import batch_of, dataset
from torch.nn import functional as F

from exapt.errors import InputError
from exapt.tasks import ClassifySpec, load_task
from exapt.tasks.multilabel import MultiLabelTask

NAN = math.nan


def outputs(count: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed), requires_grad=True)


# --- one class -----------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.sampled_from(["a", "b", "c", ""]), min_size=1, max_size=12), st.booleans(), st.integers(0, 99))
def test_loss_equals_a_loop_and_missing_labels_cost_nothing(labels: list[str], balanced: bool, seed: int) -> None:
    data = dataset([*labels, "a", "b", "c"])
    spec = ClassifySpec(missing="ignore", weights="balanced" if balanced else "none")
    task = spec.build(data)
    data = task.attach(data)
    task = task.calibrated(data)
    names = [*labels, "a", "b", "c"]
    there = [n for n in names if n]
    out = outputs(len(names), 3, seed)
    total = 0.0
    for row, name in zip(out.detach().double(), names, strict=True):
        if name:
            weight = len(there) / (3 * there.count(name)) if balanced else 1.0
            total -= weight * math.log(row.softmax(0)["abc".index(name)])
    loss = task.loss(out, batch_of(data, task))
    assert loss.count == len(there)
    assert float(loss.value.detach()) == pytest.approx(total / len(there), rel=1e-5)
    loss.value.backward()
    empty = [i for i, n in enumerate(names) if not n]
    assert out.grad is not None
    assert not out.grad[empty].any()


def test_balanced_weights_are_those_of_torch_and_scikit_learn_up_to_their_mean() -> None:
    data = dataset(["a"] * 7 + ["b"] * 2 + ["c"])
    task = ClassifySpec(weights="balanced").build(data)
    data = task.attach(data)
    assert task.calibrated(data.subset(range(10))).class_weights.tolist() == pytest.approx([10 / 21, 10 / 6, 10 / 3])
    assert task.class_weights is None
    part = task.calibrated(data.subset([0, 1, 2, 7]))
    assert part.class_weights.tolist() == pytest.approx([4 / 6, 4 / 2, 1.0])
    out = outputs(10, 3)
    calibrated = task.calibrated(data)
    target = torch.as_tensor(calibrated.truth(data))
    weight = torch.as_tensor(calibrated.class_weights, dtype=torch.float32)
    torch.testing.assert_close(
        calibrated.loss(out, batch_of(data, calibrated)).value, F.cross_entropy(out, target, weight)
    )


def test_classes_are_numbers_in_order_and_one_name_a_value() -> None:
    assert ClassifySpec().build(dataset([10, 9, 2, 10])).classes == ["2", "9", "10"]
    assert ClassifySpec().build(dataset([1.0, 0.0, NAN], name="y").subset([0, 1])).classes == ["0", "1"]
    assert ClassifySpec().build(dataset(["b", "a "])).classes == ["a", "b"]
    assert ClassifySpec(classes=["b", "a"]).build(dataset(["a", "b"])).classes == ["b", "a"]
    assert ClassifySpec().build(dataset([-1, 1])).classes == ["-1", "1"]
    assert ClassifySpec().build(dataset(["NA", "None"])).classes == ["NA", "None"]


def test_decode_gives_probabilities_even_from_half_precision() -> None:
    task = ClassifySpec().build(dataset(["a", "b", "c"]))
    out = outputs(5, 3)
    p = task.decode(out.bfloat16())
    assert p.shape == (5, 3)
    np.testing.assert_allclose(p.sum(1), 1.0)
    np.testing.assert_allclose(task.decode(out), out.detach().double().softmax(1))


@pytest.mark.parametrize("metric", ["accuracy", "balanced-accuracy", "macro-F1", "AUC", "average-precision"])
def test_metrics_leave_missing_labels_out_and_chance_is_a_constant_guess(metric: str) -> None:
    labels = ["a"] * 5 + ["b"] * 3 + ["c"] * 2 + [""] * 4
    data = dataset(labels)
    task = ClassifySpec(metric=metric, missing="ignore").build(data)
    truth = task.truth(task.attach(data))
    p = task.decode(outputs(14, 3, 3))
    score = task.metric(p, truth)
    assert score == task.metric(p[:10], truth[:10])
    one_hot = np.eye(3)[truth[:10]]
    expected = {
        "accuracy": oracle.accuracy_score(truth[:10], p[:10].argmax(1)),
        "balanced-accuracy": oracle.balanced_accuracy_score(truth[:10], p[:10].argmax(1)),
        "macro-F1": oracle.f1_score(truth[:10], p[:10].argmax(1), average="macro"),
        "AUC": oracle.roc_auc_score(truth[:10], p[:10], multi_class="ovr"),
        "average-precision": oracle.average_precision_score(one_hot, p[:10], average="macro"),
    }[metric]
    assert score == pytest.approx(expected)
    constant = np.tile([0.9, 0.06, 0.04], (14, 1))
    assert task.chance(truth) == pytest.approx(task.metric(constant, truth))
    assert task.metric(np.where(p > 0.5, np.nan, p), truth) == task.chance(truth)


def test_two_classes_are_scored_by_the_second() -> None:
    data = dataset(["no", "yes", "no", "yes"])
    task = ClassifySpec(metric="AUC").build(data)
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.6, 0.4]])
    assert task.metric(p, np.array([0, 1, 0, 1])) == 0.75
    assert task.metric(p, np.array([1, 1, 1, 1])) == 0.5


def test_item_scores_are_right_or_wrong() -> None:
    task = ClassifySpec().build(dataset(["a", "b"]))
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [NAN, NAN]])
    scores = task.item_scores(p, np.array([0, 1, -1, 0]))
    assert scores[[0, 1, 3]].tolist() == [1.0, 0.0, 0.0]
    assert np.isnan(scores[2])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["a", "b", "", "a"], r"file\.csv: row 3: 'label' is empty \(1 of 4 rows\)"),
        (["a", [[0, 0, 3, 4, "b"]]], r"file\.csv: row 2: 'label' holds a list, .*task\.kind=detect for boxes"),
        ([1.0, NAN, 0.0], r"file\.csv: row 2: 'label' is empty"),
        (["a", "a", "a"], r"file\.csv: column 'label' holds only 'a'; .*at least two classes"),
        ([f"{i}.5" for i in range(60)], r"60 different values in 60 rows.*task\.kind=regress"),
    ],
)
def test_bad_labels_are_named(labels: list, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClassifySpec().build(dataset(labels))


def test_only_empty_labels_and_unknown_classes_are_named() -> None:
    with pytest.raises(InputError, match="holds no label at all"):
        ClassifySpec(missing="ignore").build(dataset(["", ""]))
    task = ClassifySpec().build(dataset(["a", "b"]))
    with pytest.raises(InputError, match=r"file\.csv: row 2: 'label' is 'c'; known classes: a, b"):
        task.attach(dataset(["a", "c"]))
    with pytest.raises(InputError, match="row 8:"):
        task.attach(dataset(list("aaaaaaac")).subset([7, 0]))


def test_the_label_column_is_found_or_asked_for() -> None:
    data = dataset(["a", "b"], name="y")
    assert ClassifySpec().build(data).classes == ["a", "b"]
    question = r"which column is the label\? Set labelled\.label \(--label\) to one of: x, y"
    with pytest.raises(InputError, match=question):
        ClassifySpec().build(dataset(x=["a", "b"], y=["c", "d"]))
    with pytest.raises(InputError, match="no column was read"):
        ClassifySpec().build(dataset(group=["a", "b"]))
    assert ClassifySpec().build(dataset(y=["c", "d"], group=["a", "b"])).classes == ["c", "d"]


# --- several labels ------------------------------------------------------------------------------------------


def several(seed: int = 0, count: int = 20) -> dict[str, list[float]]:
    draw = np.random.default_rng(seed)
    columns = {}
    for name in ("x", "y", "z"):
        values = draw.integers(0, 2, count).astype(float)
        values[:2] = 0, 1
        values[draw.random(count) < 0.3] = NAN
        values[:2] = 0, 1
        columns[name] = values.tolist()
    return columns


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 500), st.booleans())
def test_several_labels_equal_a_loop_and_unknown_ones_cost_nothing(seed: int, balanced: bool) -> None:
    columns = several(seed)
    data = dataset(columns)
    task = ClassifySpec(weights="balanced" if balanced else "none").build(data)
    assert isinstance(task, MultiLabelTask)
    data = task.attach(data)
    task = task.calibrated(data)
    out = outputs(20, 3, seed)
    total, count = 0.0, 0
    for k, name in enumerate("xyz"):
        known = [v for v in columns[name] if not math.isnan(v)]
        share = sum(known) / len(known)
        for i, value in enumerate(columns[name]):
            if not math.isnan(value):
                p = 1 / (1 + math.exp(-float(out[i, k].detach())))
                weight = (0.5 / share if value else 0.5 / (1 - share)) if balanced else 1.0
                total -= weight * math.log(p if value else 1 - p)
                count += 1
    loss = task.loss(out, batch_of(data, task))
    assert loss.count == count
    assert float(loss.value.detach()) == pytest.approx(total / count, rel=1e-4)
    loss.value.backward()
    assert out.grad is not None
    assert not out.grad[torch.as_tensor(task.truth(data)).isnan()].any()


@pytest.mark.parametrize("metric", ["accuracy", "AUC", "macro-F1", "average-precision", "balanced-accuracy"])
def test_several_labels_are_scored_one_by_one(metric: str) -> None:
    columns = several(3, 60)
    data = dataset(columns)
    task = ClassifySpec(metric=metric).build(data)
    truth = task.truth(task.attach(data))
    p = task.decode(outputs(60, 3, 1))
    measure = {
        "accuracy": lambda t, q: oracle.accuracy_score(t, q > 0.5),
        "AUC": oracle.roc_auc_score,
        "macro-F1": lambda t, q: oracle.f1_score(t, q > 0.5),
        "average-precision": oracle.average_precision_score,
        "balanced-accuracy": lambda t, q: oracle.balanced_accuracy_score(t, q > 0.5),
    }[metric]
    parts = [measure(truth[~np.isnan(truth[:, k]), k], p[~np.isnan(truth[:, k]), k]) for k in range(3)]
    assert task.metric(p, truth) == pytest.approx(np.mean(parts))
    assert 0 <= task.chance(truth) <= 1
    assert task.metric(p * NAN, truth) == task.chance(truth)


def test_labels_between_separators() -> None:
    data = dataset(["b; a", "", "c", "a"])
    task = ClassifySpec(separator=";").build(data)
    assert task.classes == ["a", "b", "c"]
    assert task.truth(task.attach(data)).tolist() == [[1, 1, 0], [0, 0, 0], [0, 0, 1], [1, 0, 0]]
    assert task.counts(task.attach(data)) == {"a": 2, "b": 1, "c": 1}
    with pytest.raises(InputError, match="row 1: 'label' holds 'd'; known labels: a, b, c"):
        task.attach(dataset(["d"]))


def test_words_for_yes_and_no() -> None:
    data = dataset({"x": ["yes", "No", "TRUE", ""], "y": ["0", "1", "", "f"]})
    task = ClassifySpec().build(data)
    truth = task.truth(task.attach(data))
    np.testing.assert_array_equal(truth, [[1, 0], [0, 1], [1, NAN], [NAN, 0]])


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"x": ["1", "2"], "y": ["0", "1"]}, {}, "row 2: 'x' is '2'; .*must be 0 or 1"),
        ({"x": ["1", "1"], "y": ["0", "1"]}, {}, "column 'x' holds only 1; a label needs both"),
        ({"x": ["", ""], "y": ["0", "1"]}, {}, "column 'x' holds no label at all"),
        ({"x": ["1", "0", ""], "y": ["0", "1", "1"]}, {"missing": "refuse"}, "row 3: 'x' is empty"),
        ({"x": ["a;b", "c"], "y": ["a", "b"]}, {"separator": ";"}, "takes one label column, found x, y"),
        ({"x": ["", ""]}, {"separator": ";"}, "holds no label at all"),
    ],
)
def test_bad_several_labels_are_named(columns: dict, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        ClassifySpec(**options).build(dataset(columns))


def test_item_scores_of_several_labels_are_the_share_that_is_right() -> None:
    task = ClassifySpec().build(dataset(several()))
    p = np.array([[0.9, 0.1, 0.9], [0.9, 0.1, 0.9], [0.5, 0.5, 0.5]])
    truth = np.array([[1, 0, 0], [NAN, 0, NAN], [NAN, NAN, NAN]])
    scores = task.item_scores(p, truth)
    assert scores[:2].tolist() == pytest.approx([2 / 3, 1.0])
    assert np.isnan(scores[2])


# --- both ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [["a", "b", "c", "a"], several()])
def test_a_task_is_restored_from_its_plain_form(labels: list | dict) -> None:
    data = dataset(labels)
    task = ClassifySpec(metric="AUC").build(data)
    again = load_task(task.plain())
    assert type(again) is type(task)
    assert again.plain() == task.plain()
    np.testing.assert_array_equal(again.truth(again.attach(data)), task.truth(task.attach(data)))


@pytest.mark.parametrize("labels", [["a", "b"], {"x": [0, 1], "y": [1, 0]}])
def test_a_batch_without_labels_costs_nothing_but_keeps_the_graph(labels: list | dict) -> None:
    data = dataset(labels)
    task = ClassifySpec(missing="ignore").build(data)
    blank = torch.full((2,), -1) if isinstance(labels, list) else torch.full((2, 2), NAN)
    batch = batch_of(task.attach(data), task)
    batch.targets["label"].copy_(blank)  # type: ignore[attr-defined]
    out = outputs(2, 2)
    loss = task.loss(out, batch)
    loss.value.backward()
    assert loss.count == 0
    assert float(loss.value.detach()) == 0.0
    assert out.grad is not None and not out.grad.any()


def test_repeated_classes_and_unknown_metrics_are_refused() -> None:
    with pytest.raises(InputError, match="classes repeat a name"):
        ClassifySpec.parse({"classes": ["a", "a"]}, "task")
    with pytest.raises(InputError, match=r"task: metric: .*accuracy.*found 'f1'"):
        ClassifySpec.parse({"metric": "f1"}, "task")
