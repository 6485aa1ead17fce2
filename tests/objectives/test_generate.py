"""Generation: greedy is the argmax loop, top-p is its definition, and a seed decides the rest."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from objective_standins import SPECIAL, Letters, Running

from exapt.backbones import TransformerSpec
from exapt.batch import Batch
from exapt.errors import InputError
from exapt.objectives.autoregressive import Autoregressive
from exapt.objectives.generate import _reader, _Stepwise, _Whole, choose, generate, generate_many, nucleus


def model(length: int = 16) -> tuple[Running, Autoregressive]:
    backbone = Running(causal=True)
    objective = Autoregressive(Letters(length=length), backbone, seed=2)
    torch.nn.init.normal_(objective.bias, generator=torch.Generator().manual_seed(9))
    return backbone, objective


def argmax_loop(backbone: Running, objective: Autoregressive, prompt: torch.Tensor, length: int) -> torch.Tensor:
    ids = prompt
    for _ in range(length):
        scores = objective.logits(backbone, backbone(Batch(ids, torch.tensor([0, len(ids)]))).elements[-1])
        scores[[SPECIAL[n] for n in ("pad", "unknown", "start", "mask")]] = -torch.inf
        ids = torch.cat([ids, scores.argmax().reshape(1)])
        if int(ids[-1]) == SPECIAL["end"]:
            break
    return ids


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(5, 9), min_size=1, max_size=6), st.integers(0, 8))
def test_greedy_is_the_argmax_loop(prompt: list[int], length: int) -> None:
    backbone, objective = model(length=100)
    start = torch.tensor(prompt)
    assert torch.equal(
        generate(backbone, objective, start, length, temperature=0), argmax_loop(backbone, objective, start, length)
    )


def test_several_prompts_side_by_side_equal_each_alone_with_one_call_a_step() -> None:
    backbone, objective = model()
    prompts = [torch.tensor([5]), torch.tensor([2, 6, 7, 8]), torch.tensor([9, 9])]
    together = generate_many(backbone, objective, prompts, 5, temperature=0, stop=-1)
    assert backbone.calls == 5
    for prompt, text in zip(prompts, together, strict=True):
        assert torch.equal(text, generate(backbone, objective, prompt, 5, temperature=0, stop=-1))
        assert len(text) == len(prompt) + 5


def test_a_seed_decides_the_samples() -> None:
    backbone, objective = model()
    prompts = [torch.tensor([5])] * 4

    def draw(seed: int) -> list[list[int]]:
        rng = torch.Generator().manual_seed(seed)
        return [t.tolist() for t in generate_many(backbone, objective, prompts, 12, temperature=1.5, rng=rng, stop=-1)]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    assert len({tuple(t) for t in draw(1)}) > 1


def test_special_tokens_are_never_written_and_end_stops() -> None:
    backbone, objective = model()
    objective.bias.data[[0, 1, 2, 4]] = 100.0
    text = generate(backbone, objective, torch.tensor([5]), 30, rng=torch.Generator().manual_seed(0), stop=-1)
    assert set(text[1:].tolist()) <= {3, 5, 6, 7, 8, 9}
    objective.bias.data[SPECIAL["end"]] = 1000.0
    assert generate(backbone, objective, torch.tensor([5]), 30, temperature=0).tolist() == [5, 3]
    objective.bias.data[7] = 5000.0
    assert generate(backbone, objective, torch.tensor([5]), 30, temperature=0, stop=7).tolist() == [5, 7]


def test_context_beyond_the_known_length_is_dropped_from_the_left() -> None:
    backbone, objective = model(length=4)
    long, short = torch.tensor([5, 5, 5, 6, 7, 8, 9]), torch.tensor([6, 7, 8, 9])
    a = generate(backbone, objective, long, 3, temperature=0, stop=-1)[-3:]
    b = generate(backbone, objective, short, 3, temperature=0, stop=-1)[-3:]
    assert torch.equal(a, b)


class Evens:
    """A grammar of even ids that ends a text after its third."""

    def __init__(self, count: int) -> None:
        self.taken = torch.zeros(count, dtype=torch.long)

    def allowed(self, rows: torch.Tensor) -> torch.Tensor:
        over = (self.taken[rows] == 3)[:, None]
        ids = torch.arange(10)
        return torch.where(over, ids == SPECIAL["end"], (ids % 2 == 0) & (ids > 5))

    def take(self, rows: torch.Tensor, ids: torch.Tensor) -> None:
        self.taken[rows] += 1


def test_a_guide_bars_ids_and_sees_what_is_taken() -> None:
    backbone, objective = model()
    for temperature in (0.0, 2.0):
        texts = generate_many(
            backbone, objective, [torch.tensor([5]), torch.tensor([7, 9])], 9,
            temperature=temperature, rng=torch.Generator().manual_seed(0), guide=Evens(2),
        )  # fmt: skip
        for text, prompt in zip(texts, (1, 2), strict=True):
            assert len(text) == prompt + 4
            assert set(text[prompt:-1].tolist()) <= {6, 8}
            assert int(text[-1]) == SPECIAL["end"]


@pytest.mark.parametrize("local", [0, 6])
def test_a_transformer_that_keeps_what_it_read_writes_the_same(local: int) -> None:
    spec = TransformerSpec(width=16, depth=3, heads=1, causal=True, local=local, global_every=2)
    backbone = spec.build(Letters(length=40).inputs, seed=0)
    objective = Autoregressive(Letters(length=40), backbone, seed=2)
    prompts = [torch.tensor([2, 5, 7]), torch.tensor([2, 9, 9]), torch.tensor([2, 6, 6])]

    def drawn(length: int, texts: list[torch.Tensor]) -> list[list[int]]:
        rng = torch.Generator().manual_seed(1)
        return [t.tolist() for t in generate_many(backbone, objective, texts, length, rng=rng)]

    kept = drawn(30, prompts)
    assert isinstance(_reader(backbone, objective, prompts, 30), _Stepwise)
    longer = [*prompts, torch.tensor([2, 5])]  # of unequal length: read whole at each step
    assert isinstance(_reader(backbone, objective, longer, 30), _Whole)
    objective.length = 35
    greedy = [
        [t.tolist() for t in generate_many(backbone, objective, texts, 30, temperature=0)]
        for texts in (prompts, longer)
    ]
    assert greedy[0] == greedy[1][:3]
    assert len({tuple(t) for t in kept}) == 3


def test_the_mode_of_the_backbone_is_given_back() -> None:
    backbone, objective = model()
    backbone.train()
    generate(backbone, objective, torch.tensor([5]), 1, temperature=0)
    assert backbone.training


def naive_nucleus(probabilities: list[float], top_p: float) -> list[float]:
    """Take tokens from the likeliest on until their sum reaches top_p; scale what was taken."""
    taken: list[int] = []
    total = 0.0
    for token in sorted(range(len(probabilities)), key=lambda t: (-probabilities[t], t)):
        if total >= top_p:
            break
        taken.append(token)
        total += probabilities[token]
    return [p / total if t in taken else 0.0 for t, p in enumerate(probabilities)]


@settings(deadline=None)
@given(st.lists(st.floats(0.01, 1), min_size=1, max_size=8), st.floats(0.05, 1))
def test_nucleus_equals_its_definition(weights: list[float], top_p: float) -> None:
    p = torch.tensor(weights, dtype=torch.float64)
    p = p / p.sum()
    kept = nucleus(p[None], top_p)[0]
    assert float(kept.sum()) == pytest.approx(1.0)
    if not any(abs(float(c) - top_p) < 1e-9 for c in p.sort(descending=True).values.cumsum(0)):
        assert kept.tolist() == pytest.approx(naive_nucleus(p.tolist(), top_p))


def test_nucleus_by_hand() -> None:
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05]])
    assert nucleus(p, 0.5)[0].tolist() == [1.0, 0.0, 0.0, 0.0]
    assert nucleus(p, 0.7)[0].tolist() == pytest.approx([0.625, 0.375, 0.0, 0.0])
    assert nucleus(p, 1.0)[0].tolist() == pytest.approx(p[0].tolist())


def test_samples_follow_the_tempered_distribution() -> None:
    logits = torch.tensor([0.0, 1.0, 2.0]).expand(20_000, 3)
    drawn = choose(logits, 0.5, 1.0, torch.Generator().manual_seed(0))
    share = torch.bincount(drawn, minlength=3) / 20_000
    torch.testing.assert_close(share, (logits[0] / 0.5).softmax(0), atol=0.012, rtol=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"length": -1}, "length: -1"),
        ({"temperature": -0.5}, "temperature: -0.5"),
        ({"top_p": 0.0}, "top_p: 0.0"),
        ({"top_p": 1.1}, "top_p: 1.1"),
        ({"prompt": torch.tensor([], dtype=torch.long)}, "at least one token"),
    ],
)
def test_values_out_of_range_say_what_is_valid(change: dict, message: str) -> None:
    backbone, objective = model()
    options = {"prompt": torch.tensor([5]), "length": 1} | change
    with pytest.raises(InputError, match=message):
        generate(backbone, objective, **options)
