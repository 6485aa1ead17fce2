"""Every kind of fit on every kind of task: records, predictions, and the same again from disk."""

import json

import numpy as np
import pytest
from adapt_standins import TASKS, classify, halves
from pydantic import TypeAdapter

from exapt.adaptation import (
    AdaptSpec,
    ClassicalSpec,
    FinetuneSpec,
    KnnSpec,
    ProbeSpec,
    StackSpec,
    fit,
    fit_probes,
    load_fitted,
)
from exapt.domains import from_arrays
from exapt.errors import InputError

SPECS = {
    "probe": ProbeSpec(),
    "knn": KnnSpec(),
    "finetune": FinetuneSpec(min_steps=4, max_steps=4, batch=8, rates=[1e-3]),
    "classical": ClassicalSpec(),
    "stack": StackSpec(),
}


@pytest.mark.parametrize("kind", SPECS)
@pytest.mark.parametrize("name", TASKS)
def test_predictions_are_the_same_from_disk(kind, name, tmp_path):
    start, task, data = TASKS[name]()
    train, valid, test = halves(data, len(data) // 2, len(data) // 4)
    if kind == "classical" and name == "tag":
        start = type(start)(start.domain)
    if name == "texts" and kind == "classical":
        train = train.subset(np.arange(len(train))[::-1])
    fitted = fit(SPECS[kind], start, task, train, valid, 3)
    expected = fitted.predict(test)
    again = load_fitted(fitted.save(tmp_path / "model"))
    np.testing.assert_array_equal(again.predict(test), expected)
    assert again.record == json.loads((tmp_path / "model" / "fitted.json").read_text())["record"]
    assert type(again) is type(fitted)
    assert again.spec == fitted.spec
    assert np.isfinite(expected).all()
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix in (".pkl", ".pt", ".npy", ".npz")]


@pytest.mark.parametrize("kind", SPECS)
def test_a_saved_model_predicts_on_new_data_without_labels(kind, tmp_path):
    start, task, data = classify()
    train, valid, _ = halves(data)
    fitted = fit(SPECS[kind], start, task, train, valid, 0)
    again = load_fitted(fitted.save(tmp_path / "model"))
    new = again.domain.read(from_arrays(["AAAACAAD", "WWWWCWWD", "A"]))
    predicted = again.predict(new)
    assert predicted.shape == (3, 2)
    np.testing.assert_array_equal(predicted, fitted.predict(new))
    assert again.task.classes == ["a", "w"]
    assert again.predict(new.subset([])).shape == (0, 2)


@pytest.mark.parametrize("kind", SPECS)
def test_predictions_follow_their_examples(kind):
    start, task, data = classify()
    train, valid, test = halves(data)
    fitted = fit(SPECS[kind], start, task, train, valid, 0)
    order = np.random.default_rng(0).permutation(len(test))
    np.testing.assert_allclose(fitted.predict(test.subset(order)), fitted.predict(test)[order], atol=1e-4)


@pytest.mark.parametrize("kind", SPECS)
def test_every_record_says_what_was_chosen(kind):
    start, task, data = classify()
    train, valid, _ = halves(data)
    record = fit(SPECS[kind], start, task, train, valid, 7).record
    assert {"kind", "valid_score", "diverged", "seconds", "train", "valid", "seed"} <= record.keys()
    assert (record["kind"], record["train"], record["valid"], record["seed"]) == (kind, 20, 10, 7)
    assert 0 <= record["valid_score"] <= 1
    json.dumps(record)


@pytest.mark.parametrize("kind", SPECS)
def test_specs_go_through_plain_data(kind):
    spec = SPECS[kind]
    assert TypeAdapter(AdaptSpec).validate_python(json.loads(json.dumps(spec.plain()))) == spec


def test_many_probes_of_one_start_equal_one_after_another():
    start, task, data = classify(60)
    rng = np.random.default_rng(0)
    draws = []
    for size in (10, 20, 20, 40):
        places = rng.permutation(60)[:size]
        draws.append((data.subset(places[: size * 4 // 5]), data.subset(places[size * 4 // 5 :])))
    together = fit_probes(ProbeSpec(), start, task, draws)
    for (train, valid), many in zip(draws, together, strict=True):
        alone = fit(ProbeSpec(), start, task, train, valid, 0)
        assert many.record["penalty"] == alone.record["penalty"]
        np.testing.assert_allclose(many.predict(data), alone.predict(data), atol=1e-3)


def test_no_label_to_train_on_is_a_mistake():
    start, task, data = classify()
    data.targets["label"][:] = -1
    with pytest.raises(InputError, match="no training example has a label"):
        fit(ProbeSpec(), start, task, *halves(data)[:2], 0)


def saved(tmp_path):
    start, task, data = classify()
    return fit(ProbeSpec(), start, task, *halves(data)[:2], 0).save(tmp_path / "model")


def test_a_changed_or_missing_file_is_refused(tmp_path):
    folder = saved(tmp_path)
    weights = folder / "backbone.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"abcd")
    with pytest.raises(InputError, match="changed since the model was saved"):
        load_fitted(folder)
    weights.unlink()
    with pytest.raises(InputError, match="missing"):
        load_fitted(folder)


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="no fitted model"):
        load_fitted(tmp_path)
    folder = saved(tmp_path)
    path = folder / "fitted.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"format": "other"}))
    with pytest.raises(InputError, match="not a format"):
        load_fitted(folder)
    path.write_text(json.dumps(content | {"spec": {"kind": "magic"}}))
    with pytest.raises(InputError, match="fitted by kind 'magic'; valid: probe"):
        load_fitted(folder)
