"""Weights on disk and the report of what arrived."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from exapt.errors import InputError
from exapt.training.weights import PICKLES, load_into, read_tensors, tensors_of, write_tensors


class Tied(nn.Module):
    """Two names for one tensor, and a buffer."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, width)
        self.head = nn.Linear(width, 5, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("cache", torch.zeros(9), persistent=False)


def test_a_shared_tensor_is_written_once_and_stays_shared(tmp_path: Path) -> None:
    source, target = Tied(), Tied()
    source.seen += 1
    write_tensors(tmp_path / "w.safetensors", tensors_of(source), "backbone")
    tensors = read_tensors(tmp_path / "w.safetensors", "backbone")
    assert sorted(tensors) == ["embed.weight", "seen"]
    report = load_into(target, tensors)
    assert report.full
    assert report.share == 1.0
    assert target.head.weight is target.embed.weight
    assert torch.equal(target.head.weight, source.embed.weight)
    assert torch.equal(target.seen, source.seen)


def test_the_report_names_what_did_not_match() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 3))
    tensors = {"0.weight": torch.ones(3, 2), "0.bias": torch.ones(4), "2.weight": torch.ones(1)}
    report = load_into(model, tensors)
    assert report.matched == ["0.weight"]
    assert report.missing == ["1.bias", "1.weight"]
    assert report.left_over == ["2.weight"]
    assert report.misshapen == ["0.bias"]
    assert report.share == pytest.approx(6 / 21)
    assert not report.full
    assert "2 missing (1.bias, 1.weight)" in report.sentence()
    assert torch.equal(model[0].weight, torch.ones(3, 2))


@pytest.mark.parametrize("ending", PICKLES)
def test_pickles_are_refused_unopened(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"weights{ending}"
    path.write_bytes(b"anything")
    with pytest.raises(InputError, match=r"pickled weights are refused.*safetensors"):
        read_tensors(path, "backbone")


def test_a_pickle_under_another_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(InputError, match="not a readable safetensors file"):
        read_tensors(path, "backbone")


def test_another_kind_of_weights_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, "objective")
    with pytest.raises(InputError, match="holds objective, where backbone was expected"):
        read_tensors(tmp_path / "w.safetensors", "backbone")
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(InputError, match="not exapt"):
        read_tensors(tmp_path / "foreign.safetensors", "backbone")


def test_a_wrong_checksum_is_refused(tmp_path: Path) -> None:
    right = write_tensors(tmp_path / "w.safetensors", {"a": torch.zeros(1)}, "backbone")
    assert read_tensors(tmp_path / "w.safetensors", "backbone", right)["a"] == 0
    with pytest.raises(InputError, match="truncated or changed"):
        read_tensors(tmp_path / "w.safetensors", "backbone", "0" * 64)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"w.safetensors: no such file"):
        read_tensors(tmp_path / "w.safetensors", "backbone")
