"""The sparse sums against plain ones, to second derivatives."""

from __future__ import annotations

import torch
from torch.autograd import gradcheck, gradgradcheck

from exapt.backbones.carry import Carry, Gate, Gather, Meet, plain_carry, plain_gate
from exapt.backbones.spread import Dot, Links, Read, Spread, plain_spread

TO = torch.tensor([0, 0, 2, 2, 2, 3])


def test_values_and_derivatives_of_any_order() -> None:
    rng = torch.Generator().manual_seed(0)
    weights, messages, vectors = (
        torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)
        for shape in ((6, 4), (6, 5), (4, 5, 5))
    )
    links = Links(TO, 5, 4)
    fast, plain = Spread.apply(weights, messages, links), plain_spread(weights, messages, links)
    assert torch.allclose(fast, plain, atol=1e-14)
    assert fast[:, 1].abs().sum() == 0
    taken = vectors[:, TO]
    assert torch.allclose(Read.apply(weights, vectors, links), torch.einsum("eh,hed->ed", weights, taken))
    assert torch.allclose(Dot.apply(messages, vectors, links), torch.einsum("ed,hed->eh", messages, taken))
    for operation, given in ((Spread, (weights, messages)), (Read, (weights, vectors)), (Dot, (messages, vectors))):
        assert gradcheck(lambda a, b, op=operation: op.apply(a, b, links), given)
        assert gradgradcheck(lambda a, b, op=operation: op.apply(a, b, links), given)


def test_carried_vectors_and_their_derivatives() -> None:
    rng = torch.Generator().manual_seed(0)
    values, others, filters = (
        torch.randn(*shape, generator=rng, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 5, 4), (3, 5, 4), (6, 4))
    )
    origin = torch.tensor([1, 4, 0, 1, 3, 2])
    assert torch.allclose(
        Carry.apply(values, filters, origin, TO), plain_carry(values, filters, origin, TO), atol=1e-14
    )
    met = (values[:, origin] * others[:, TO]).sum(0)
    assert torch.allclose(Meet.apply(values, others, origin, TO), met, atol=1e-14)
    gated = Gate.apply(values[0], filters, origin)
    assert torch.allclose(gated, plain_gate(values[0], filters, origin), atol=1e-14)
    gathered = Gather.apply(gated, filters, origin, 5)
    assert torch.allclose(gathered, torch.zeros(5, 4).double().index_add(0, origin, gated * filters), atol=1e-14)
    flat = values[0].detach().requires_grad_()
    for check in (gradcheck, gradgradcheck):
        assert check(lambda a, b: Gate.apply(a, b, origin), (flat, filters))
        assert check(lambda a, b: Gather.apply(a, b, origin, 5), (filters, gated.detach().requires_grad_()))
    for operation, given in ((Carry, (values, filters)), (Meet, (values, others))):
        assert gradcheck(lambda a, b, op=operation: op.apply(a, b, origin, TO), given)
        assert gradgradcheck(lambda a, b, op=operation: op.apply(a, b, origin, TO), given)


def test_no_pairs_at_all() -> None:
    links = Links(torch.zeros(0, dtype=torch.long), 3, 4)
    out = Spread.apply(torch.zeros(0, 4), torch.zeros(0, 2), links)
    assert out.shape == (4, 3, 2)
    assert out.abs().sum() == 0
