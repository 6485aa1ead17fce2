"""Looking over a run's shoulder: something called after every step and every evaluation, kept in its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class Watcher:
    """Does nothing; subclasses watch a run, change its weights after a step, or end it.

    A watcher with a state gives it as plain data, so that a resumed run goes on as if it had never stopped. Draws must
    follow from a seed and the step, not from a generator that lives on.
    """

    name = "watcher"
    """Under which its state is kept; one name once a run."""

    def began(self, step: int) -> None:
        """The run starts, or goes on, after `step` steps; the network holds its weights, the optimiser its state."""

    def stepped(self, step: int, optimiser: torch.optim.Optimizer) -> None:
        """After the update of a step; rates of the step are in the optimiser's groups."""

    def due(self, step: int) -> bool:
        """Whether it wants to look after this step, beside the run's evaluations; must follow from the step alone."""
        return False

    def glanced(self, step: int, loss: tuple[float, float]) -> dict[str, Any]:
        """At a step that is due, network as at an evaluation; returns the figures of a line of its own.

        `loss` holds Σ loss · count and Σ count over all training steps so far.
        """
        return {}

    def looked(self, step: int, figures: Mapping[str, float]) -> dict[str, Any]:
        """After an evaluation, network in evaluation mode and without gradients; returns more figures for its line."""
        return {}

    def stop(self) -> str:
        """A few words on why the run should end now; empty to go on. Asked after every step and every evaluation.

        A run that ends so is evaluated and saved once more; every process of a parallel run must give one answer.
        """
        return ""

    def finish(self) -> dict[str, Any]:
        """After pre-training, the final weights in the network: may put others in, and then says which under `weights`.

        What it returns stands in the artifact's record.
        """
        return {}

    def state(self) -> dict[str, Any]:
        """Plain data that `restore` goes on from."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take a state back."""
