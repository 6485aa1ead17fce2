"""The diagonal of the Fisher information: how much each weight matters to what a network was trained for.

F_i = E_x E_{y ~ p(y|x)} (∂ log p(y|x) / ∂w_i)², an expectation of *squared per-example* gradients; the square of a
batch's mean gradient is something else, about B times smaller (van de Ven 2025, arXiv 2502.11756). An example with
several items (hidden tokens, patches) has the gradient of their sum; the mean is over items, as the loss is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from exapt.adaptation.per_example import Recorder, UnknownUseError, gradients, settle, sum_of_squares
from exapt.batch import Batch, offsets_of
from exapt.errors import InputError
from exapt.objectives.guess import Guess
from exapt.training.seeds import derive

How = Literal["exact", "sampled", "empirical"]
"""`exact`: over every class or output, weighted by the model's own probability; `sampled`: one target drawn from the
model's own predictions; `empirical`: the data's targets."""

Guesses = Callable[[Batch, torch.Generator], Guess]
MOST_OUTPUTS = 256
"""`exact` takes one backward pass an output."""
CLOSE = 1e-3
"""How far the fast way may be from plain autograd on the examples it is checked on, relative to their norm."""


@dataclass(frozen=True)
class Fisher:
    """A diagonal, and how it was come by."""

    diagonal: dict[str, Tensor]
    """By the name of the parameter, of its shape, float32."""
    how: How
    examples: int
    items: int
    one_by_one: bool
    """Whether some layer was of an unknown kind, so that every example took a backward pass of its own."""

    @property
    def trace(self) -> float:
        """The sum of the diagonal."""
        return float(sum(part.double().sum() for part in self.diagonal.values()))


def fisher(
    guess: Guesses,
    networks: Sequence[nn.Module],
    parameters: Mapping[str, nn.Parameter],
    batches: Iterable[Batch],
    how: How = "sampled",
    seed: int = 0,
) -> Fisher:
    """The diagonal over all examples of some batches, in evaluation mode and float32.

    `guess` predicts with `networks`; `parameters` of theirs are judged, a tied one once. Linear layers, embeddings and
    layer norms take one backward pass a batch (with `exact` one an output); the first batch is checked against plain
    autograd, and where that disagrees or a parameter is used otherwise, every example takes a pass of its own.
    Raises `InputError` for `exact` with several items an example, or with more than 256 outputs.
    """
    totals = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}
    examples, items, slow, checked = 0, 0, False, False
    with steady(networks, parameters):
        for number, batch in enumerate(batches):
            work = _Work(guess, networks, parameters, how, derive(seed, "fisher", number))
            try:
                found = None if slow else work.together(batch, check=not checked)
            except UnknownUseError:
                found, slow = None, True
            found = work.alone(batch) if found is None else found
            checked = True
            examples, items = examples + len(batch), items + found.items
            for name, part in found.squares:
                totals[name] += part
    return Fisher({name: total / max(items, 1) for name, total in totals.items()}, how, examples, items, slow)


@contextmanager
def steady(networks: Sequence[nn.Module], parameters: Mapping[str, nn.Parameter]) -> Iterator[None]:
    """Evaluation mode, gradients for these parameters only; all is given back as it was."""
    parts = [part for network in networks for part in network.modules()]
    own = {id(p) for p in parameters.values()}
    modes, needs = [(part, part.training) for part in parts], []
    for network in networks:
        network.eval()
        needs += [(p, p.requires_grad) for p in network.parameters()]
    try:
        for p, _ in needs:
            p.requires_grad_(id(p) in own)
        with torch.enable_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for p, need in needs:
            p.requires_grad_(need)


@dataclass(frozen=True)
class _Found:
    squares: list[tuple[str, Tensor]]
    items: int


@dataclass(frozen=True)
class _Work:
    """One batch's share."""

    guess: Guesses
    networks: Sequence[nn.Module]
    parameters: Mapping[str, nn.Parameter]
    how: How
    seed: int

    def together(self, batch: Batch, check: bool) -> _Found:
        """All examples in one backward pass an output; raises `UnknownUseError`."""
        with Recorder(self.parameters) as recorder, _seen_packings(self.networks) as packings:
            said = self.guess(batch, self._rng())
        each = torch.bincount(said.owner.cpu(), minlength=len(batch))
        known = [torch.arange(len(batch) + 1), *packings, offsets_of(each)]
        squares: list[tuple[str, Tensor]] = []
        scalars = self._scalars(said)
        noted = [(use, use.given) for use in recorder.uses]
        for number, scalar in enumerate(scalars):
            for use, given in noted:
                use.given, use.slope = given, None
            self._backward(scalar, last=number == len(scalars) - 1)
            settle(recorder.uses, known)
            sizes = {name: p.numel() for name, p in self.parameters.items()}
            squares += sum_of_squares(recorder.uses, sizes)
        if check:
            self._check(batch, recorder, len(scalars) - 1)
        return _Found(squares, len(said.owner))

    def alone(self, batch: Batch) -> _Found:
        """Every example by itself: the plain form that the fast one is tested against."""
        squares, items = [], 0
        for place in range(len(batch)):
            said = self.guess(batch.select([place]), self._rng(place))
            items += len(said.owner)
            for scalar in self._scalars(said):
                found = torch.autograd.grad(
                    scalar, list(self.parameters.values()), retain_graph=True, allow_unused=True
                )
                pairs = zip(self.parameters, found, strict=True)
                squares += [(name, slope.square()) for name, slope in pairs if slope is not None]
        return _Found(squares, items)

    def _scalars(self, said: Guess) -> list[Tensor]:
        """What is differentiated: one sum over all items, or with `exact` one for each output."""
        if self.how != "exact":
            target = said.draw(self._rng("draw")) if self.how == "sampled" else None
            return [said.surprise(target).sum()]
        if said.output.shape[1] > MOST_OUTPUTS or len(said.owner.unique()) < len(said.owner):
            raise InputError(
                f"fisher: exact takes one item an example and at most {MOST_OUTPUTS} outputs (found {len(said.owner)} "
                f"items of {int(said.owner.max()) + 1} examples, {said.output.shape[1]} outputs); use fisher: sampled"
            )
        return said.directions()

    def _backward(self, scalar: Tensor, last: bool) -> None:
        """Slopes to every noted use; a gradient that arrives at a parameter itself came by an unknown way."""
        if scalar.requires_grad:
            scalar.backward(retain_graph=not last)
        strays = [name for name, p in self.parameters.items() if p.grad is not None]
        for name in strays:
            self.parameters[name].grad = None
        if strays:
            raise UnknownUseError(
                f"{strays[0]}: used by something else than a linear layer, an embedding or a layer norm"
            )

    def _check(self, batch: Batch, recorder: Recorder, output: int) -> None:
        """Compare the gradients of the first and the last example with plain autograd over the same graph."""
        said = self.guess(batch, self._rng())
        places = said.owner.cpu()
        named = list(self.parameters.items())
        for example in {0, len(batch) - 1}:
            part = self._scalars_of(said, places == example)[output]
            slopes = torch.autograd.grad(part, [p for _, p in named], retain_graph=True, allow_unused=True)
            for (name, p), slope in zip(named, slopes, strict=True):
                used = any(use.weight == name for use in recorder.uses)
                mine = gradients(recorder.uses, name, example, example + 1)[0] if used else torch.zeros_like(p)
                wanted = torch.zeros_like(p) if slope is None else slope
                if float((mine - wanted).norm()) > CLOSE * float(wanted.norm()) + 1e-7:
                    raise UnknownUseError(f"{name}: the fast way does not give its gradient")

    def _scalars_of(self, said: Guess, mask: Tensor) -> list[Tensor]:
        """The same for some items only."""
        if self.how == "exact":
            return Guess(said.kind, said.output[mask], said.target[mask], said.owner[mask]).directions()
        target = said.draw(self._rng("draw")) if self.how == "sampled" else None
        return [said.surprise(target)[mask].sum()]

    def _rng(self, *where: int | str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.seed, *where))


@contextmanager
def _seen_packings(networks: Sequence[nn.Module]) -> Iterator[list[Tensor]]:
    """The offsets of every batch that a network is given while open."""
    found: list[Tensor] = []

    def look(_network: nn.Module, inputs: tuple[Any, ...]) -> None:
        found.extend(part.offsets.cpu() for part in inputs if hasattr(part, "offsets"))

    handles = [network.register_forward_pre_hook(look) for network in networks]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
