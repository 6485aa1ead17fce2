"""The detection task: labels, loss, decoding, and what goes wrong with boxes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from exapt.batch import Batch, Features
from exapt.domains.base import Arrays, Dataset
from exapt.domains.image import ImageDomain, ImageSpec
from exapt.errors import InputError
from exapt.tasks import DetectSpec, load_task
from exapt.tasks.box_views import BoxViewSpec, flip_and_zoom, move_boxes
from exapt.tasks.boxes import giou
from exapt.tasks.cells import assign
from exapt.tasks.detect import DetectTask, focal

ROWS = [[[2, 2, 10, 12, "cat", 0], [16, 8, 30, 30, "dog", 0]], [], [[0, 0, 32, 24, "dog", 0], [20, 2, 26, 8, "cat", 1]]]


def pictures(rows: list[Any] = ROWS, **more: Any) -> tuple[ImageDomain, Dataset]:
    """Pictures of 32 × 32 that are grey but for their boxes."""
    values = np.full((len(rows), 32, 32, 1), 100, np.uint8)
    for picture, boxes in zip(values, rows, strict=True):
        for x1, y1, x2, y2, *_ in boxes:
            picture[int(y1) : int(y2), int(x1) : int(x2)] = 200
    source = Arrays(values, {"boxes": rows, **more}, label="boxes")
    domain = ImageSpec(patch=8).build(source)
    return domain, domain.read(source)


def task(**keys: Any) -> tuple[DetectTask, Dataset, ImageDomain]:
    domain, dataset = pictures()
    made = DetectSpec(**keys).build(dataset)
    return made, made.attach(dataset), domain


def batch_of(made: DetectTask, dataset: Dataset, domain: ImageDomain) -> Batch:
    return domain.collate([dataset[i] for i in range(len(dataset))])


def test_labels_are_rows_of_numbers_padded_with_nan() -> None:
    made, dataset, _ = task()
    assert made.classes == ["cat", "dog"]
    assert dataset.targets["label"].shape == (3, 2, 6)
    assert dataset.targets["label"][0, 1].tolist() == [16, 8, 30, 30, 1, 0]
    assert np.isnan(dataset.targets["label"][1]).all()
    assert made.counts(dataset) == {"cat": 2, "dog": 2}
    assert made.described(dataset) == {"boxes": 4, "pictures without boxes": 1, "ignored boxes": 1}
    assert made.strata(dataset).tolist() == [0, 2, 0]


def test_a_task_comes_back_from_its_plain_form_with_the_typical_side() -> None:
    made, dataset, _ = task()
    made = made.calibrated(dataset)
    assert made.side == pytest.approx(np.median([math.sqrt(80), math.sqrt(308), math.sqrt(768), 6.0]))
    again = load_task(made.plain())
    assert isinstance(again, DetectTask)
    assert (again.plain(), again.grid) == (made.plain(), made.grid)


def test_loss_equals_a_loop_over_cells() -> None:
    made, dataset, domain = task(head={"upsample": 1})
    made = made.calibrated(dataset)
    batch = batch_of(made, dataset, domain)
    output = torch.randn(3, 16, 7, generator=torch.Generator().manual_seed(0))
    found = made.loss(output, batch)
    wanted = assign(batch.targets["label"], made.grid, 1.5)
    classes = boxes = centre = weights = 0.0
    count = 0
    for b in range(3):
        for g in range(16):
            name = int(wanted.classes[b, g])
            for c in range(2):
                p, is_it = float(output[b, g, c].sigmoid()), name == c
                right = p if is_it else 1 - p
                if name != -2:
                    classes -= (0.25 if is_it else 0.75) * (1 - right) ** 2 * math.log(right)
            if name < 0:
                continue
            count += 1
            x, y = (g % 4 + 0.5) * 8, (g // 4 + 0.5) * 8
            left, top, right_, low = (made.side / 2 * math.exp(float(v)) for v in output[b, g, 2:6])
            box = torch.tensor([x - left, y - top, x + right_, y + low])
            weight = max(float(wanted.centreness[b, g]), 1e-3)
            boxes += weight * (1 - float(giou(box, wanted.boxes[b, g])))
            weights += weight
            p, t = float(output[b, g, 6].sigmoid()), float(wanted.centreness[b, g])
            centre -= t * math.log(p) + (1 - t) * math.log(1 - p)
    assert count == found.count
    assert float(found.value) == pytest.approx(classes / count + boxes / weights + centre / count, rel=1e-4)


def test_loss_without_any_object_is_finite_and_teaches_only_that_nothing_is_there() -> None:
    made, dataset, domain = task()
    batch = batch_of(made, dataset.subset([1]), domain)
    output = torch.zeros(1, 64, 7, requires_grad=True)
    loss = made.loss(output, batch).value
    loss.backward()
    assert torch.isfinite(loss)
    assert output.grad is not None
    assert (output.grad[..., :2] > 0).all()
    assert (output.grad[..., 2:] == 0).all()


def test_cells_in_ignored_objects_cost_nothing() -> None:
    made, dataset, _domain = task(head={"upsample": 4})
    labels = torch.as_tensor(dataset.targets["label"][2:]).clone()
    labels[:, 0] = torch.nan  # only the ignored box is left
    wanted = assign(labels, made.grid, 1.5)
    cost = focal(torch.zeros(1, 256, 2), wanted)
    assert (wanted.classes == -2).sum() == 9
    assert (cost[wanted.classes == -2] == 0).all()
    assert (cost[wanted.classes == -1] > 0).all()


def test_decoding_gives_back_what_perfect_outputs_say() -> None:
    made, dataset, _domain = task()
    labels = torch.as_tensor(dataset.targets["label"])
    wanted = assign(labels, made.grid, 1.5)
    centres = made.grid.centres(labels)
    output = torch.full((3, 64, 7), -9.0)
    for b, g in (wanted.classes >= 0).nonzero().tolist():
        output[b, g, wanted.classes[b, g]] = 9.0
        box, at = wanted.boxes[b, g], centres[g]
        away = torch.cat([at - box[:2], box[2:] - at]).clamp(min=0.1)
        output[b, g, 2:6] = (away / (made.side / 2)).log()
        output[b, g, 6] = 9.0
    found = made.decode(output)
    assert found.shape[2] == 6
    assert np.isnan(found[1]).all()
    assert found[0, :2, :4][np.argsort(found[0, :2, 0])] == pytest.approx(dataset.targets["label"][0, :, :4], abs=1e-3)
    assert np.isnan(found[0, 2:]).all()
    pytest.importorskip("faster_coco_eval")
    assert made.metric(found, made.truth(dataset)) == pytest.approx(1.0)
    assert made.item_scores(found, made.truth(dataset)) == pytest.approx([1.0, 1.0, 1.0])


def test_decoding_survives_outputs_that_are_no_numbers_and_no_outputs() -> None:
    made, _, _ = task()
    assert np.isnan(made.decode(torch.full((2, 64, 7), torch.nan))).all()
    assert made.decode(torch.zeros(0, made.outputs)).shape == (0, 0, 6)


def test_head_starts_alike_everywhere_and_refuses_another_grid() -> None:
    made, _, _ = task()
    head = made.head(12, seed=0)
    features = Features(torch.randn(32, 12), torch.tensor([0, 16, 32]))
    out = head(features)
    assert out.shape == (2, 64, 7)
    assert torch.allclose(out[..., :2].sigmoid(), torch.tensor(0.01))
    assert (out[..., 2:] == 0).all()
    again = made.head(12, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(head.state_dict().values(), again.state_dict().values(), strict=True))
    with pytest.raises(InputError, match="30 elements for 2 pictures, not 4 × 4 each"):
        head(Features(torch.randn(30, 12), torch.tensor([0, 15, 30])))


def test_cells_of_the_head_lie_where_their_element_does() -> None:
    made, _, _ = task(head={"upsample": 2})
    head = made.head(12, seed=0)
    torch.nn.init.normal_(head.named.weight, generator=torch.Generator().manual_seed(1))  # type: ignore[union-attr]
    elements = torch.zeros(16, 12)
    quiet = head(Features(elements, torch.tensor([0, 16])))
    elements[2 * 4 + 3] = torch.randn(12, generator=torch.Generator().manual_seed(2))  # row 2, column 3
    moved = (head(Features(elements, torch.tensor([0, 16]))) - quiet).abs().sum(-1).reshape(8, 8)
    assert moved[4:6, 6:8].mean() > 2 * moved[:, :2].mean()


def test_boxes_move_with_what_they_are_around() -> None:
    made, dataset, domain = task()
    batch = batch_of(made, dataset.subset([0, 2]), domain)
    moved = flip_and_zoom(batch, torch.Generator().manual_seed(3), BoxViewSpec(flip=1.0))
    assert not torch.equal(moved.inputs, batch.inputs)
    bright = (moved.inputs - batch.inputs.min()) / (batch.inputs.max() - batch.inputs.min())
    for picture, rows in zip(bright, moved.targets["label"], strict=True):
        inside = torch.zeros(32, 32)
        for x1, y1, x2, y2 in rows[~rows[:, 0].isnan(), :4].tolist():
            inside[round(y1) : round(y2), round(x1) : round(x2)] = 1
        assert float((picture[0] - inside).abs().mean()) < 0.06  # but for half pixels along the borders


def test_boxes_that_leave_the_picture_are_no_objects_any_more() -> None:
    labels = torch.tensor([[[0.0, 0, 8, 8, 1, 0], [8, 8, 24, 24, 0, 0]]])
    one = torch.ones(1)
    still = move_boxes(labels, one, one, torch.zeros(1, 2), (32, 32))
    assert torch.equal(still, labels)
    right = move_boxes(labels, one, one, torch.tensor([[0.375, 0.0]]), (32, 32))  # shows what lies 6 pixels further
    assert right[0, 0].isnan().all()
    assert right[0, 1].tolist() == [2, 8, 18, 24, 0, 0]
    flipped = move_boxes(labels, -one, one, torch.zeros(1, 2), (32, 32))
    assert flipped[0, 0].tolist() == [24, 0, 32, 8, 1, 0]


def test_mistakes_in_the_labels() -> None:
    _, dataset = pictures()
    with pytest.raises(InputError, match=r"row 1: a box of 'dog'; known classes: cat$"):
        DetectSpec(classes=["cat"]).build(dataset).attach(dataset)
    _, empty = pictures([[], []])
    with pytest.raises(InputError, match="no box in 2 pictures; detection needs some to learn from"):
        DetectSpec().build(empty)
    with pytest.raises(InputError, match=r"needs the column of boxes; set labelled\.label"):
        DetectSpec().build(Dataset(dataset.store, dataset.rows, {"label": np.zeros(3)}))
    with pytest.raises(InputError, match="reads boxes from 'boxes', not 'label'"):
        columns = {**dataset.columns, "label": np.zeros(3)}
        DetectSpec().build(Dataset(dataset.store, dataset.rows, columns, roles={"label": ("label",)}))
    with pytest.raises(InputError, match="classes repeat a name"):
        DetectSpec.parse({"classes": ["a", "a"]})
    with pytest.raises(InputError, match="expected a multiple of 8"):
        DetectSpec(head={"width": 12}).build(dataset).head(16)
