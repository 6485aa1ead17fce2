"""Detection through fits, files of detections, reports, and what a study of it refuses."""

from __future__ import annotations

import json
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exapt.adaptation import FinetuneSpec, KnnSpec, Start, fit, load_fitted
from exapt.backbones import TransformerSpec
from exapt.domains.base import Arrays, Dataset
from exapt.domains.image import ImageSpec
from exapt.errors import InputError
from exapt.reporting import boxes as drawing
from exapt.reporting import render
from exapt.studies.detections import predict_boxes
from exapt.studies.single import predict_file
from exapt.studies.spec import StudySpec
from exapt.tasks import DetectSpec
from exapt.tasks.detect import DetectTask

pytest.importorskip("faster_coco_eval")
pytest.importorskip("PIL")
TUNE = FinetuneSpec(probe_first=False, rates=[0.01], min_steps=90, max_steps=90, evaluations=3, batch=8)


def squares(count: int, seed: int) -> Arrays:
    """Bright and dark squares of 8 to 14 pixels on noise."""
    rng = np.random.default_rng(seed)
    values = rng.integers(90, 160, (count, 32, 32, 1)).astype(np.uint8)
    rows = []
    for picture in values:
        side, name = int(rng.integers(8, 15)), int(rng.integers(2))
        x, y = (int(v) for v in rng.integers(0, 32 - side, 2))
        picture[y : y + side, x : x + side] = (0, 255)[name]
        rows.append([[x, y, x + side, y + side, ("dark", "bright")[name], 0]])
    return Arrays(values, {"boxes": rows}, label="boxes")


@pytest.fixture(scope="module")
def fitted() -> Any:
    domain = ImageSpec(patch=4).build(squares(60, 0))
    dataset = domain.read(squares(60, 0))
    task = DetectSpec(head={"width": 16, "depth": 1, "upsample": 1}).build(dataset)
    dataset = task.attach(dataset)
    backbone = TransformerSpec(size="nano").build(domain.inputs, seed=0)
    return fit(TUNE, Start(domain, backbone), task, dataset.subset(range(48)), dataset.subset(range(48, 60)), 0)


def test_a_few_steps_find_squares(fitted: Any) -> None:
    task, domain = fitted.task, fitted.domain
    test = task.attach(domain.read(squares(30, 1)))
    prediction = fitted.predict(test)
    assert task.metric(prediction, task.truth(test)) > 0.3
    assert task.item_scores(prediction, task.truth(test)).mean() > 0.5
    assert fitted.record["valid_score"] > 0.3
    assert task.side < 15


def test_a_saved_detector_finds_the_same(fitted: Any, tmp_path: Path) -> None:
    dataset = fitted.domain.read(squares(5, 1))
    again = load_fitted(fitted.save(tmp_path / "model"))
    assert np.array_equal(again.predict(dataset), fitted.predict(dataset), equal_nan=True)


def test_detections_are_written_line_by_line_and_as_coco_s_results(fitted: Any, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    assert predict_file(tmp_path / "model", squares(3, 1), tmp_path / "found.jsonl") == 3
    lines = [json.loads(line) for line in (tmp_path / "found.jsonl").read_text().splitlines()]
    assert [line["index"] for line in lines] == [0, 1, 2]
    best = lines[0]["objects"][0]
    assert best["class"] in ("dark", "bright")
    assert predict_file(tmp_path / "model", squares(3, 1), tmp_path / "found.json") == 3
    first = json.loads((tmp_path / "found.json").read_text())[0]
    x1, y1, x2, y2 = best["box"]
    assert first["bbox"] == pytest.approx([x1, y1, x2 - x1, y2 - y1], abs=0.011)
    assert first["category_id"] == best["class_number"] + 1
    with pytest.raises(InputError, match=r"boxes are written as \.jsonl .* or \.json"):
        predict_file(tmp_path / "model", squares(3, 1), tmp_path / "found.csv")


def test_detections_are_in_pixels_of_the_pictures_as_given(fitted: Any, tmp_path: Path) -> None:
    large = np.asarray(squares(2, 1).values).repeat(4, axis=1).repeat(2, axis=2)
    source = Arrays(large)
    before, fitted.domain = fitted.domain, copy(fitted.domain)
    fitted.domain.spec = before.spec.model_copy(update={"size": (32, 32), "fit": "stretch"})
    predict_boxes(fitted, source, tmp_path / "found.jsonl")
    rows = fitted.predict(fitted.domain.read(source))[0]
    fitted.domain = before
    line = json.loads((tmp_path / "found.jsonl").read_text().splitlines()[0])
    assert (line["height"], line["width"]) == (128, 64)
    assert line["objects"][0]["box"] == pytest.approx((rows[0, :4] * [2, 4, 2, 4]).tolist(), abs=0.02)


def test_probes_of_boxes_are_refused_in_one_line(fitted: Any) -> None:
    task: DetectTask = fitted.task
    dataset: Dataset = task.attach(fitted.domain.read(squares(8, 1)))
    start = Start(fitted.domain, fitted.tuning.backbone)
    for spec in (KnnSpec(), FinetuneSpec()):
        with pytest.raises(InputError, match=r"no linear probe|probe_first"):
            fit(spec, start, task, dataset, dataset, 0)


def study(**keys: Any) -> dict[str, Any]:
    return {
        "name": "some",
        "domain": {"kind": "image", "patch": 8},
        "corpus": {"path": "sklearn:digit-single"},
        "labelled": {"path": "sklearn:digit-scenes", "label": "boxes", "split": "split"},
        "task": {"kind": "detect"},
        "adapt": {"probe_first": False},
        "arms": ["pretrained", "scratch"],
        "budgets": [50],
    } | keys


def test_a_study_refuses_what_needs_a_probe() -> None:
    assert StudySpec.parse(study()).task.kind == "detect"
    with pytest.raises(InputError, match=r"arm 'frozen' is a probe, and boxes .* set arms to \[pretrained, scratch\]"):
        StudySpec.parse(study(arms=["pretrained", "scratch", "frozen"]))
    with pytest.raises(InputError, match=r"arm 'pretrained' starts from a probe, .* set probe_first to false"):
        StudySpec.parse(study(adapt={}))


def test_the_report_shows_pictures_with_boxes(fitted: Any) -> None:
    test = fitted.task.attach(fitted.domain.read(squares(9, 1)))
    shown = fitted.task.shown(test, fitted.predict(test))
    assert [one["row"] for one in shown] == [1, 3, 6, 9]
    assert shown[0]["truth"] == [[*map(float, test.targets["label"][0, 0, :4]), shown[0]["truth"][0][4], 0]]
    json.dumps(shown)
    html, text = render({"title": "some", "shown": [{"arm": "scratch", "budget": 50, "shown": shown}]})
    assert html.count('<image href="data:image/jpeg;base64,') == 4
    assert html.count('class="object"') == 4
    assert html.count('class="found"') == sum(len(one["found"]) for one in shown) > 0
    assert "| scratch | row 1 | 1 |" in text
    assert drawing.examples([]) is None


def test_a_report_draws_no_picture_from_elsewhere(fitted: Any) -> None:
    one = {
        "picture": "https://example.org/x.jpg",
        "height": 4,
        "width": 4,
        "truth": [],
        "found": [],
        "row": 1,
        "score": 1.0,
    }
    html, _ = render({"title": "some", "shown": [{"arm": "a", "budget": 5, "shown": [one]}]})
    assert "example.org" not in html
