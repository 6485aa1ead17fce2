"""Watchers are called in order, can end a run, and a resumed run goes on with the state they had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_training import Toy, fit, held_out, same

from exapt.errors import InputError
from exapt.training.log import TIMING, read_metrics
from exapt.training.watcher import Watcher


class Notes(Watcher):
    """Writes down every call; its state is a running sum of the network's weights."""

    def __init__(self, book: list[Any], name: str = "notes", model: Toy | None = None, until: int = 0) -> None:
        self.book, self.name, self.model, self.until = book, name, model, until
        self.sum, self.step = 0.0, 0

    def began(self, step: int) -> None:
        self.book.append((self.name, "began", step))

    def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        self.book.append((self.name, "stepped", step))
        self.step = step
        if self.model is not None:
            self.sum += float(self.model.head.weight.detach().double().sum())

    def looked(self, step: int, figures: Mapping[str, float]) -> dict[str, Any]:
        assert self.model is None or not self.model.training
        assert not torch.is_grad_enabled()
        self.book.append((self.name, "looked", step, sorted(figures)))
        return {f"{self.name}_sum": self.sum}

    def stop(self) -> str:
        return f"{self.name} saw enough" if self.until and self.step >= self.until else ""

    def state(self) -> dict[str, Any]:
        return {"sum": self.sum, "step": self.step}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.sum, self.step = state["sum"], state["step"]
        self.book.append((self.name, "restored", self.step))


def lines(folder: Path) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in TIMING} for line in read_metrics(folder / "metrics.jsonl")]


def test_watchers_are_called_in_their_order_after_every_step_and_evaluation() -> None:
    book: list[Any] = []
    model = Toy()
    fit(model, steps=4, evaluate=held_out(model), evaluate_every=2, watchers=[Notes(book, "one"), Notes(book, "two")])
    expected: list[Any] = [("one", "began", 0), ("two", "began", 0)]
    for step in range(1, 5):
        expected += [("one", "stepped", step), ("two", "stepped", step)]
        if step % 2 == 0:
            expected += [("one", "looked", step, ["loss"]), ("two", "looked", step, ["loss"])]
    assert book == expected


def test_watching_changes_nothing(tmp_path: Path) -> None:
    plain, watched = Toy(noise=0.3, dropout=0.2), Toy(noise=0.3, dropout=0.2)
    fit(plain, evaluate=held_out(plain))
    fit(watched, evaluate=held_out(watched), watchers=[Notes([], model=watched)])
    assert same(plain, watched)


def test_a_watcher_ends_a_run_after_the_step_it_saw_enough(tmp_path: Path) -> None:
    model, book = Toy(), []
    done = fit(model, tmp_path, evaluate=held_out(model), evaluate_every=12, watchers=[Notes(book, until=5)])
    assert (done.step, done.stopped) == (5, "notes saw enough")
    assert book[-1] == ("notes", "looked", 5, ["loss"])  # evaluated once more, out of turn
    again: list[Any] = []
    twice = fit(Toy(), tmp_path, evaluate=held_out(model), evaluate_every=12, watchers=[Notes(again, until=5)])
    assert (twice.step, twice.stopped) == (5, "notes saw enough")
    assert again == [("notes", "restored", 5), ("notes", "began", 5)]


def test_a_watcher_ends_a_run_that_evaluates_nothing() -> None:
    assert fit(Toy(), watchers=[Notes([], until=3)]).step == 3


@pytest.mark.parametrize("stop", range(2, 13))
def test_a_resumed_run_restores_its_watchers_exactly(tmp_path: Path, stop: int) -> None:
    def run(folder: Path, model: Toy, watcher: Notes) -> None:
        settings = {"evaluate_every": 3, "log_every": 4, "checkpoint_every": 1, "keep_best": False}
        fit(model, folder, evaluate=held_out(model), watchers=[watcher], **settings)

    whole, first, second = Toy(noise=0.3), Toy(noise=0.3, die_at=stop), Toy(noise=0.3)
    watched, resumed = Notes([], model=whole), Notes([], model=second)
    run(tmp_path / "whole", whole, watched)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", first, Notes([], model=first))
    run(tmp_path / "parts", second, resumed)
    assert resumed.book[:2] == [("notes", "restored", stop - 1), ("notes", "began", stop - 1)]
    assert resumed.state() == watched.state()
    assert lines(tmp_path / "parts") == lines(tmp_path / "whole")
    assert any("notes_sum" in line for line in lines(tmp_path / "whole"))


def test_two_watchers_of_one_name_are_refused() -> None:
    with pytest.raises(InputError, match="two are named 'notes'"):
        fit(Toy(), watchers=[Notes([]), Notes([])])


def test_a_watcher_that_did_not_watch_the_run_before_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fit(Toy(die_at=5), tmp_path, checkpoint_every=1)
    with pytest.raises(InputError, match=r"holds no state of 'notes'.*begin anew"):
        fit(Toy(), tmp_path, checkpoint_every=1, watchers=[Notes([])])
