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

from exapt.adaptation.per_example import Recorder, gradients, settle, sum_of_squares
from exapt.adaptation.uses import UnknownUseError, Use
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

    `guess` predicts with `networks`; `parameters` of theirs are judged, a tied one once. Linear layers, embeddings,
    norms and convolutions take one backward pass a batch (with `exact` one an output); three examples of the first are
    checked against plain autograd, and where that disagrees or a parameter is used otherwise, every example takes a
    pass of its own.
    Raises `InputError` for `exact` with several items an example, or with more than 256 outputs.
    """
    totals = {name: torch.zeros_like(p, dtype=torch.float32) for name, p in parameters.items()}
    examples, items, slow = 0, 0, False
    with steady(networks, parameters):
        for number, batch in enumerate(batches):
            work = _Work(guess, networks, parameters, how, derive(seed, "fisher", number))
            try:
                if number == 0:
                    work.check(batch.select(sorted({0, len(batch) // 2, len(batch) - 1})))
                found = work.alone(batch) if slow else work.together(batch)
            except UnknownUseError:
                found, slow = work.alone(batch), True
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
    slopes = [(p, p.grad) for p in parameters.values()]
    try:
        for p, _ in needs:
            p.requires_grad_(id(p) in own)
        for p, _ in slopes:
            p.grad = None
        with torch.enable_grad():
            yield
    finally:
        for part, mode in modes:
            part.training = mode
        for p, need in needs:
            p.requires_grad_(need)
        for p, slope in slopes:
            p.grad = slope


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

    def together(self, batch: Batch) -> _Found:
        """All examples in one backward pass an output; raises `UnknownUseError`."""
        said, uses, known = self._recorded(batch)
        squares: list[tuple[str, Tensor]] = []
        sizes = {name: p.numel() for name, p in self.parameters.items()}
        for _ in self._passes(said, uses, known):
            squares += sum_of_squares(uses, sizes)
        return _Found(squares, len(said.owner))

    def check(self, batch: Batch) -> None:
        """Compare each example's gradient with plain autograd, on a batch of a few; raises `UnknownUseError`."""
        said, uses, known = self._recorded(batch)
        plain = self.guess(batch, self._rng())
        places, noted = plain.owner.cpu(), {use.weight for use in uses}
        for output, _ in enumerate(self._passes(said, uses, known)):
            for example in range(len(batch)):
                part = self._scalars(plain, places == example)[output]
                parameters = list(self.parameters.values())
                slopes = torch.autograd.grad(part, parameters, retain_graph=True, allow_unused=True)
                for (name, p), slope in zip(self.parameters.items(), slopes, strict=True):
                    mine = gradients(uses, name, example, example + 1)[0] if name in noted else torch.zeros_like(p)
                    wanted = torch.zeros_like(p) if slope is None else slope
                    if float((mine - wanted).norm()) > CLOSE * float(wanted.norm()) + 1e-7:
                        raise UnknownUseError(f"{name}: the fast way does not give its gradient")
            break

    def _recorded(self, batch: Batch) -> tuple[Guess, list[Use], list[Tensor]]:
        """The predictions, the calls of layers on the way to them, and the packings that rows may have."""
        with Recorder(self.parameters) as recorder, _seen_packings(self.networks) as packings:
            said = self.guess(batch, self._rng())
        each = torch.bincount(said.owner.cpu(), minlength=len(batch))
        return said, recorder.uses, [torch.arange(len(batch) + 1), *packings, offsets_of(each)]

    def _passes(self, said: Guess, uses: list[Use], known: list[Tensor]) -> Iterator[None]:
        """One backward pass for each scalar; after each the uses hold its slopes, by rows."""
        scalars = self._scalars(said)
        given = [use.given for use in uses]
        for number, scalar in enumerate(scalars):
            for use, value in zip(uses, given, strict=True):
                use.given, use.slope = value, None
            self._backward(scalar, last=number == len(scalars) - 1)
            settle(uses, known)
            yield

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

    def _scalars(self, said: Guess, of: Tensor | None = None) -> list[Tensor]:
        """What is differentiated: one sum over items (or some of them), or with `exact` one for each output."""
        if self.how != "exact":
            surprise = said.surprise(said.draw(self._rng("draw")) if self.how == "sampled" else None)
            return [(surprise if of is None else surprise[of]).sum()]
        if said.output.shape[1] > MOST_OUTPUTS or len(said.owner.unique()) < len(said.owner):
            raise InputError(
                f"fisher: exact takes one item an example and at most {MOST_OUTPUTS} outputs (found {len(said.owner)} "
                f"items of {int(said.owner.max()) + 1} examples, {said.output.shape[1]} outputs); use fisher: sampled"
            )
        if of is None:
            return said.directions()
        return Guess(said.kind, said.output[of], said.target[of], said.owner[of]).directions()

    def _backward(self, scalar: Tensor, last: bool) -> None:
        """Slopes to every noted use; a gradient that arrives at a parameter itself came by an unknown way."""
        if scalar.requires_grad:
            scalar.backward(retain_graph=not last)
        strays = [name for name, p in self.parameters.items() if p.grad is not None]
        for name in strays:
            self.parameters[name].grad = None
        if strays:
            raise UnknownUseError(
                f"{strays[0]}: used by something else than a linear layer, an embedding, a norm or a convolution"
            )

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
