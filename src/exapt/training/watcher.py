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

    def looked(self, step: int, figures: Mapping[str, float]) -> dict[str, Any]:
        """After an evaluation, network in evaluation mode and without gradients; returns more figures for its line."""
        return {}

    def stop(self) -> str:
        """A few words on why the run should end now; empty to go on."""
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
