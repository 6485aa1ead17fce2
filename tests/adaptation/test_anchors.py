"""What holds a fit to its start: each remedy against its formula, its mistakes, and what it does to a fit."""

import copy

import numpy as np
import pytest
import torch
from adapt_standins import classify, halves, pictures
from torch.nn import functional as F

from exapt.adaptation import EwcSpec, FinetuneSpec, L2spSpec, LwfSpec, Origin, ReplaySpec, Start, fit
from exapt.adaptation.anchor import Anchored, own_weights
from exapt.adaptation.anchors import together
from exapt.adaptation.ewc import accumulate, quadratic
from exapt.adaptation.l2sp import L2sp
from exapt.adaptation.lwf import distil
from exapt.adaptation.selection import Choice, firmest
from exapt.adaptation.tuning import Tuning, layer_groups
from exapt.errors import InputError
from exapt.objectives import MaskedSpec
from exapt.objectives.guess import Guess
from exapt.training.batches import Batches
from exapt.training.loop import train as run_loop
from exapt.training.spec import TrainingSpec
from exapt.training.watcher import Watcher

QUICK = {"min_steps": 6, "max_steps": 6, "batch": 8, "evaluations": 2, "rates": [3e-3], "probe_first": False}
CONSTANT = {"schedule": {"kind": "constant", "warmup": 0}, "precision": "float32", "clip": 0}


def sourced(make=classify):
    """A start with the source it would have been pre-trained on, its task and its labelled data."""
    start, task, data = make()
    objective = MaskedSpec(decoder_depth=1).build(start.domain, start.backbone, seed=0).requires_grad_(False)
    source = Origin(objective, start.domain, lambda: data, start.domain.augment)
    return Start(start.domain, start.backbone, source=source), task, data


def tuned(
    start, task, data, steps=5, lr=0.01, batch=8, weight_decay=0.0, watchers=(), terms=None, decay=1.0, **options
):
    """A copy of the start's network after some steps, and the loop's result."""
    tuning = Tuning(copy.deepcopy(start.backbone), task.head(16, 0), task, None, None)
    groups = layer_groups(tuning, lr, decay, weight_decay)
    made = [w(tuning) for w in watchers]
    model = Anchored(tuning, terms(tuning)) if terms else tuning
    spec = TrainingSpec(steps=steps, batch=batch, lr=lr, **CONSTANT, **options)
    batches = Batches(data, start.domain.collate, batch=batch, seed=0)
    return tuning, run_loop(model, batches, spec, progress=False, groups=groups, watchers=made)


def distance(a, b):
    return (
        sum(float((p - q).detach().square().sum()) for p, q in zip(a.parameters(), b.parameters(), strict=True)) ** 0.5
    )


def test_l2sp_is_adamws_decay_with_the_start_in_the_place_of_zero():
    torch.manual_seed(0)
    start = torch.randn(4, 3)
    ours, plain = (torch.nn.Parameter(start.clone() + shift) for shift in (0.0, -start))  # plain is w − w0
    pull = L2sp({"w": ours}, alpha=5.0)
    optimisers = [
        torch.optim.AdamW([ours], lr=0.02, weight_decay=0.0),
        torch.optim.AdamW([plain], lr=0.02, weight_decay=0.0),
    ]
    for step in range(1, 8):
        slope = torch.randn(4, 3)
        for p, optimiser in zip((ours, plain), optimisers, strict=True):
            p.grad = slope.clone()
            optimiser.step()
        pull.stepped(step, optimisers[0])
        with torch.no_grad():
            plain.mul_(1 - 0.02 * 5.0)  # decoupled decay to 0, after the step
    torch.testing.assert_close(ours - start, plain.data, atol=1e-6, rtol=1e-5)
    assert pull.distance({"w": ours}) == pytest.approx(float((ours - start).detach().norm()), rel=1e-5)


def test_l2sp_pulls_each_group_at_its_own_rate():
    one, two = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    pull = L2sp({"one": one, "two": two}, 10.0, {"one": torch.zeros(2), "two": torch.zeros(2)})
    groups = [{"params": [one], "lr": 0.01}, {"params": [two], "lr": 0.05}]
    pull.stepped(1, torch.optim.AdamW(groups))
    torch.testing.assert_close(torch.stack([one.data[0], two.data[0]]), torch.tensor([0.9, 0.5]))


def test_no_strength_changes_nothing_and_a_very_strong_one_keeps_the_start():
    start, task, data = classify()
    free, _ = tuned(start, task, data)
    zero, _ = tuned(start, task, data, watchers=[lambda t: L2sp(own_weights(t.backbone), 0.0)])
    held, _ = tuned(start, task, data, watchers=[lambda t: L2sp(own_weights(t.backbone), 1e6)])
    assert distance(free, zero) == 0
    assert distance(held.backbone, start.backbone) == 0
    assert distance(held.head, task.head(16, 0)) > 0


def test_a_pulled_weight_rests_about_one_over_alpha_away_whatever_the_rate_and_the_batch():
    start, task, data = classify()
    found = {}
    for rate, batch in ((0.005, 8), (0.01, 8), (0.01, 32)):
        tuning, _ = tuned(
            start, task, data, steps=40, lr=rate, batch=batch, watchers=[lambda t: L2sp(own_weights(t.backbone), 50.0)]
        )
        gaps = torch.cat([(p - q).flatten() for p, q in zip(*_pairs(tuning, start), strict=True)])
        found[rate, batch] = float(gaps.detach().abs().max())
    assert all(0.3 / 50 < far < 1.2 / 50 for far in found.values()), found


def _pairs(tuning, start):
    return list(tuning.backbone.parameters()), list(start.backbone.parameters())


def test_a_resumed_l2sp_run_equals_one_that_never_stopped_and_another_alpha_is_refused(tmp_path):
    start, task, data = classify()

    def run(folder, steps_alive=None, alpha=20.0):
        tuning = Tuning(copy.deepcopy(start.backbone), task.head(16, 0), task, None, None)
        if steps_alive is not None:
            calls = []

            def die(*_):
                calls.append(1)
                if len(calls) > steps_alive:
                    raise KeyboardInterrupt

            tuning.register_forward_pre_hook(die)
        spec = TrainingSpec(steps=8, batch=8, lr=0.01, checkpoint_every=1, **CONSTANT)
        batches = Batches(data, start.domain.collate, batch=8, seed=0)
        watcher = L2sp(own_weights(tuning.backbone), alpha)
        run_loop(tuning, batches, spec, folder=folder, progress=False, watchers=[watcher])
        return tuning

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "parts", steps_alive=4)
    with pytest.raises(InputError, match="another α"):
        run(tmp_path / "parts", alpha=30.0)
    assert distance(run(tmp_path / "parts"), whole) == 0


def test_ewc_adds_half_lambda_fisher_times_the_squared_distance():
    w = torch.nn.Parameter(torch.tensor([1.0, 2.0, 3.0]))
    term = quadratic({"w": w}, {"w": torch.tensor([0.0, 2.0, 1.0])}, {"w": torch.tensor([2.0, 9.0, 0.5])}, 4.0)
    value = term()
    assert value.item() == pytest.approx(4 / 2 * (2 * 1 + 9 * 0 + 0.5 * 4))
    value.backward()
    np.testing.assert_allclose(w.grad, [4 * 2 * 1, 0, 4 * 0.5 * 2])


def test_online_ewc_adds_to_what_it_fades():
    found = accumulate({"w": torch.tensor([1.0, 4.0])}, {"w": torch.tensor([3.0, 0.0])}, keep=0.5)
    np.testing.assert_allclose(found["w"], [3.5, 2.0])


class Moments(Watcher):
    """AdamW's first moment after one step, over 1 − β: the gradient."""

    def stepped(self, step, optimiser):
        self.first = {p: state["exp_avg"] / (1 - 0.9) for p, state in optimiser.state.items()}


def test_a_term_weighs_the_same_whatever_the_batch_and_the_number_of_micro_batches():
    start, task, data = sourced()
    slopes = []
    for batch, parts in ((8, 1), (4, 2), (16, 1)):
        tuning = Tuning(copy.deepcopy(start.backbone), task.head(16, 0), task, None, None)
        names = own_weights(tuning.backbone)
        away = {n: p.detach() + 0.1 for n, p in names.items()}
        term = quadratic(names, away, {n: torch.ones_like(p) for n, p in names.items()}, 3.0)
        spec = TrainingSpec(steps=1, batch=batch, accumulate=parts, lr=1e-9, **CONSTANT)
        batches = Batches(data.subset(range(16)), start.domain.collate, batch=batch, seed=0)
        look = Moments()
        run_loop(Anchored(tuning, {"held": term}), batches, spec, progress=False, watchers=[look])
        # With the head at 0 the task's loss has no gradient in the backbone: what is left is the term's.
        slopes.append(look.first[names["stack.layers.0.attn.Wqkv.weight"]])
    for slope in slopes:
        np.testing.assert_allclose(slope, -0.3, rtol=1e-4)


def test_distillation_is_kl_times_the_squared_temperature():
    rng = torch.Generator().manual_seed(0)
    old, new = torch.randn(5, 4, generator=rng), torch.randn(5, 4, generator=rng)
    wrap = lambda output, kind: Guess(kind, output, torch.zeros(5), torch.arange(5))  # noqa: E731
    p, q = (old / 2).softmax(1), (new / 2).softmax(1)
    wanted = 4 * (p * (p.log() - q.log())).sum(1).mean()
    torch.testing.assert_close(distil(wrap(old, "classes"), wrap(new, "classes"), 2.0), wanted)
    p, q = (old / 2).sigmoid(), (new / 2).sigmoid()
    each = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    torch.testing.assert_close(distil(wrap(old, "labels"), wrap(new, "labels"), 2.0), 4 * each.mean())
    torch.testing.assert_close(distil(wrap(old, "values"), wrap(new, "values"), 2.0), F.mse_loss(new, old))
    assert float(distil(wrap(old, "classes"), wrap(old, "classes"), 2.0)) == pytest.approx(0, abs=1e-6)


def test_lwf_starts_at_nothing_and_grows_as_the_network_moves():
    start, _, data = sourced()
    batch = start.domain.collate([data[i] for i in range(8)])
    network = copy.deepcopy(start.backbone)
    term = LwfSpec().anchor(network, start.source).hold(network).terms["lwf"]
    assert term(batch, torch.Generator()).item() == pytest.approx(0, abs=1e-6)
    with torch.no_grad():
        network.embedding.weight.mul_(1.5)
    assert term(batch, torch.Generator()).item() > 1e-3


def test_replay_is_the_sources_own_loss_on_drawn_examples():
    start, _, data = sourced()
    batch = start.domain.collate([data[i] for i in range(8)])
    term = ReplaySpec(ratio=2.0, weight=0.5).anchor(start.backbone, start.source).hold(start.backbone).terms["replay"]
    rng = torch.Generator().manual_seed(3)
    found = term(batch, torch.Generator().manual_seed(3))
    old = start.source.draw(16, rng)
    old = start.source.augment(old, rng)
    wanted = 0.5 * start.source.objective(start.backbone, old, rng).value
    torch.testing.assert_close(found, wanted)
    assert len(old) == 16


@pytest.mark.parametrize("make", [classify, pictures])
@pytest.mark.parametrize("anchor", ["l2sp", "ewc", "lwf", "replay", ["ewc", "replay"]])
def test_every_anchor_is_one_key_and_keeps_the_source_better(anchor, make):
    start, task, data = sourced(make)
    train, valid, _ = halves(data)
    spec = FinetuneSpec.parse({**QUICK, "anchor": anchor, "rates": [0.02], "max_steps": 15, "min_steps": 15})
    strong = {"l2sp": {"alphas": [50.0]}, "ewc": {"strength": 1e4, "examples": 16}, "lwf": {"strength": 20.0}}
    spec = FinetuneSpec.parse(
        spec.plain() | {"anchor": [one.plain() | strong.get(one.kind, {"weight": 5.0}) for one in spec.anchor]}
    )
    free = FinetuneSpec.parse(spec.plain() | {"anchor": []})
    fitted = [fit(one, start, task, train, valid, 0) for one in (spec, free)]
    batch = start.domain.collate([data[i] for i in range(40)])

    def loss(network):
        with torch.no_grad():
            return float(start.source.objective(network, batch, torch.Generator().manual_seed(0)).value)

    held, plain = (loss(one.backbone()) for one in fitted)
    assert held < plain
    assert set(fitted[0].record["anchor"]) == {one.kind for one in spec.anchor}
    assert len(fitted[0].record["distance"]) == len(start.backbone.blocks)


def test_the_alphas_are_chosen_on_validation_and_no_worse_than_either_end():
    start, task, data = classify(60)
    train, valid, _ = halves(data, 30, 20)
    spec = {**QUICK, "rates": [1e-2, 1e-3]}
    both = [FinetuneSpec(**spec, anchor=[L2spSpec(alphas=[0, 50, 1e6], pairs=pairs)]) for pairs in (False, True)]
    few, many = (fit(one, start, task, train, valid, 0).record for one in both)
    assert [(a["rate"], a["alpha"]) for a in many["grid"]] == [(r, a) for a in (0, 50, 1e6) for r in (1e-2, 1e-3)]
    assert len(few["grid"]) == 4 and {a["rate"] for a in few["grid"][2:]} == {few["grid"][2]["rate"]}
    for record in (few, many):
        ends = [a["valid_score"] for a in record["grid"] if a["alpha"] in (0, 1e6)]
        assert record["valid_score"] >= max(ends)
        assert record["alpha"] in (0, 50, 1e6)


def test_ewcs_strength_is_chosen_on_validation_and_slack_takes_a_stronger_one():
    start, task, data = sourced()
    train, valid, _ = halves(data)
    spec = {**QUICK, "rates": [3e-3, 1e-3]}
    grid = [1.0, 1e4, 1e6]
    loose, firm = (
        fit(
            FinetuneSpec(**spec, anchor=[EwcSpec(strengths=grid, slack=slack, examples=12)]),
            start,
            task,
            train,
            valid,
            0,
        )
        for slack in (0.0, 1e9)
    )
    tried = [(a["rate"], a["strength"]) for a in loose.record["grid"]]
    assert tried == [(3e-3, 1.0), (1e-3, 1.0), (tried[2][0], 1e4), (tried[2][0], 1e6)]
    assert loose.record["valid_score"] == max(a["valid_score"] for a in loose.record["grid"])
    assert (firm.record["strength"], firm.record["chosen_by"]) == (1e6, "slack")
    assert firm.record["anchor"]["ewc"]["strength"] == 1e6
    rate = firm.record["rate"]
    alone = FinetuneSpec(**QUICK | {"rates": [rate]}, anchor=[EwcSpec(strength=1e6, examples=12)])
    alone = fit(alone, start, task, train, valid, 0)
    assert alone.record["distance"] == firm.record["distance"]
    assert sum(firm.record["distance"]) < sum(loose.record["distance"])


def test_the_firmest_is_the_strongest_within_the_slack_and_never_weaker_than_the_best():
    best = Choice(1, "metric")
    assert firmest(best, [1.05, 1.0, 1.05, 1.3], [0, 10, 100, 1000], 0.1) == Choice(2, "slack")
    assert firmest(best, [1.05, 1.0, 1.2, 1.3], [0, 10, 100, 1000], 0.1) is best
    assert firmest(best, [1.0, 1.0, 1.08, 1.05], [0, 10, 100, 100], 0.1) == Choice(3, "slack")
    assert firmest(best, [float("nan")] * 3, [0, 10, 100], 0.1) is best


def test_refit_is_held_at_the_chosen_alpha():
    start, task, data = classify()
    train, valid, _ = halves(data)
    spec = FinetuneSpec(**QUICK, anchor=[L2spSpec(alphas=[1e6])], refit=True)
    record = fit(spec, start, task, train, valid, 0).record
    assert record["refit"] is True
    assert record["distance"] == pytest.approx([0.0] * 4, abs=1e-4)


def test_the_fisher_diagonal_is_taken_once_for_all_fits():
    start, task, data = sourced()
    train, valid, _ = halves(data)
    spec = FinetuneSpec(**QUICK, anchor=[EwcSpec(examples=12)])
    records = [fit(spec, start, task, train, valid, seed).record["anchor"]["ewc"] for seed in range(2)]
    assert records[0] == records[1]
    assert records[0]["trace"] > 0 and records[0]["examples"] == 12
    assert [key for key in start.source.kept if key[0] == "fisher"] == [("fisher", "sampled", 12)]


@pytest.mark.parametrize("anchor", ["ewc", "lwf", "replay"])
def test_without_a_source_it_is_refused_in_one_line(anchor):
    start, task, data = classify()
    train, valid, _ = halves(data)
    with pytest.raises(InputError, match=f"anchor.kind={anchor}: needs what the start was trained for"):
        fit(FinetuneSpec.parse({**QUICK, "anchor": anchor}), start, task, train, valid, 0)


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"anchor": "l2sq"}, "'l2sq' is unknown; did you mean 'l2sp'"),
        ({"anchor": ["ewc", "ewc"]}, "each kind may stand there once"),
        ({"anchor": "l2sp", "last": 0}, "with last: 0 it does not move"),
        ({"anchor": "l2sp", "lora": {}}, "l2sp has none to hold; valid: lwf, replay"),
        ({"lora": {}, "last": 2}, "last has nothing to choose"),
        ({"anchor": {"kind": "ewc", "strenght": 3}}, "unknown key 'anchor.strenght'; did you mean 'strength'"),
        ({"anchor": {"kind": "l2sp", "alphas": [-1]}}, "greater than or equal to 0"),
        ({"anchor": {"kind": "ewc", "strengths": []}}, "at least 1 item"),
    ],
)
def test_contradictions_and_typing_mistakes_are_one_line(keys, words):
    with pytest.raises(InputError, match=words) as caught:
        FinetuneSpec.parse(keys)
    assert "\n" not in str(caught.value)


def test_anchors_go_through_plain_data():
    spec = FinetuneSpec(anchor=[EwcSpec(strength=3), ReplaySpec()])
    assert FinetuneSpec.parse(spec.plain()) == spec
    assert FinetuneSpec.parse({"anchor": None}).anchor == []
    assert together([], None).terms == {}
