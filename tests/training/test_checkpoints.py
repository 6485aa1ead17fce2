"""Step checkpoints: damaged ones are refused by name, a full disk loses nothing, nothing is left lying about."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from toy_training import Toy, fit, held_out, same

from exapt.errors import InputError
from exapt.training.checkpoints import Checkpoints
from exapt.training.log import MetricsLog


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in (folder / "checkpoints").iterdir())


def interrupted(folder: Path, **spec: Any) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(die_at=10), folder, checkpoint_every=4, **spec)


def test_the_last_k_and_the_best_are_kept(tmp_path: Path) -> None:
    scores = iter([1.0, 4.0, 3.0, 2.0])
    fit(Toy(), tmp_path, evaluate=lambda: {"score": next(scores)}, evaluate_every=3, checkpoint_every=1, keep=3)
    assert names(tmp_path) == [
        "best-00000006.json",
        "best-00000006.safetensors",
        *(f"step-000000{step}.{end}" for step in (10, 11, 12) for end in ("json", "safetensors")),
    ]


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(bytes(content))


def change_the_state(path: Path) -> None:
    path.write_text(path.read_text().replace('"epoch": 0', '"epoch": 3'))


@pytest.mark.parametrize(
    ("ending", "damage", "words"),
    [
        ("safetensors", cut_short, "checksum"),
        ("safetensors", change_a_byte, "checksum"),
        ("safetensors", Path.unlink, "no such file"),
        ("json", change_the_state, "its content is not what was written"),
        ("json", cut_short, "not valid JSON"),
    ],
)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_named(
    tmp_path: Path, ending: str, damage: Callable[[Path], None], words: str
) -> None:
    interrupted(tmp_path)
    damage(tmp_path / "checkpoints" / f"step-00000008.{ending}")
    with pytest.raises(InputError, match=words) as caught:
        fit(Toy(), tmp_path, checkpoint_every=4)
    assert f"step-00000008.{ending}" in str(caught.value)
    assert "delete step-00000008.* to go on from step-00000004" in str(caught.value)
    for path in (tmp_path / "checkpoints").glob("step-00000008.*"):
        path.unlink()
    model, whole = Toy(), Toy()
    fit(model, tmp_path, checkpoint_every=4), fit(whole)
    assert same(model, whole)


def test_damaged_best_weights_are_refused_at_once(tmp_path: Path) -> None:
    model = Toy()
    fit(model, tmp_path, evaluate=held_out(model))
    cut_short(next((tmp_path / "checkpoints").glob("best-*.safetensors")))
    again = Toy()
    with pytest.raises(InputError, match=r"best-\d+.safetensors: its checksum"):
        fit(again, tmp_path, evaluate=held_out(again))


def test_a_pickle_in_place_of_tensors_is_refused(tmp_path: Path) -> None:
    interrupted(tmp_path)
    path = tmp_path / "checkpoints" / "step-00000008.safetensors"
    torch.save({"weights/head.weight": torch.zeros(2)}, path)
    facts = json.loads(path.with_suffix(".json").read_text())
    with pytest.raises(InputError, match="checksum"):
        fit(Toy(), tmp_path, checkpoint_every=4)
    assert facts["format"] == "exapt step checkpoint 1"


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    interrupted(tmp_path)
    folder = tmp_path / "checkpoints"
    before = names(tmp_path)
    for litter in (".step-00000012.safetensors.x1y2", "step-00000012.safetensors", ".best-00000001.json.abc"):
        (folder / litter).write_bytes(b"half")
    (folder / "notes.txt").write_text("the user's own")
    Checkpoints(folder).open(fresh=False)
    assert names(tmp_path) == sorted([*before, "notes.txt"])


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def full_after_some_bytes(tensors: Any, path: Path, **_: Any) -> None:
    Path(path).write_bytes(b"x" * 100)
    full()


@pytest.mark.parametrize(
    ("where", "what", "how"),
    [
        (safetensors.torch, "save_file", full_after_some_bytes),
        (os, "fsync", full),
        (Path, "replace", full),
        (Path, "write_text", full),
    ],
)
def test_a_full_disk_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, what: str, how: Callable[..., None]
) -> None:
    interrupted(tmp_path)
    before = names(tmp_path)
    with monkeypatch.context() as patched:
        save = Checkpoints.save

        def save_on_a_full_disk(*args: Any) -> Path:
            patched.setattr(where, what, how)
            return save(*args)

        patched.setattr(Checkpoints, "save", save_on_a_full_disk)
        with pytest.raises(InputError, match="No space left on device") as caught:
            fit(Toy(), tmp_path, checkpoint_every=4)
    assert "everything saved before is intact" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == before
    model, whole = Toy(), Toy()
    fit(model, tmp_path, checkpoint_every=4), fit(whole)
    assert same(model, whole)


def test_a_full_disk_under_the_metrics_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full on this system")
    log = MetricsLog(None)
    log.path = Path("/dev/full")
    with pytest.raises(InputError, match="/dev/full: could not be written"):
        log.write({"step": 1})


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        fit(Toy(), tmp_path / "file" / "run")
