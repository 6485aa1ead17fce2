import json
import re
import subprocess
import sys

import numpy as np
import pytest

from exapt.errors import InputError
from exapt.evidence.conclude import Conclusion, conclude, versus
from exapt.evidence.curves import Curves, Failure
from exapt.evidence.finding import Finding
from exapt.evidence.verdict import Verdict

N = (16, 32, 64, 128, 256)


def _curves(effect: object = 0.0, seeds: int = 5, sd: float = 0.004, seed: int = 0, **others: object) -> Curves:
    """Planted arms: scratch, pretrained = scratch + effect, and others at an offset from scratch."""
    rng = np.random.default_rng(seed)
    base = 1 - (0.1 + 0.9 * np.array(N) ** -0.5) + rng.normal(0, 0.01, (seeds, len(N)))
    arms = {"pretrained": effect, "scratch": 0.0, **others}
    scores = {name: base + np.asarray(by) + rng.normal(0, sd, base.shape) for name, by in arms.items()}
    return Curves(N, tuple(range(seeds)), scores, what={"classical": "k-mer + logistic regression"})


def test_a_gain_in_one_sentence() -> None:
    c = conclude(_curves(0.04))
    assert re.fullmatch(
        r"Pre-training helped: \+\d\.\d points of accuracy over training from scratch on average over 5 budgets "
        r"\(90 % interval \d\.\d to \d\.\d, n = 5 seeds, one-sided p = 0\.031\); "
        r"\d+ labels with it do what \d+ do without \(\d\.\d× fewer, \d\.\d× to \d\.\d×\)\.",
        c.sentence,
    ), c.sentence
    assert c.verdict is Verdict.HELPS
    assert c.main.overall.mean == pytest.approx(0.04, abs=0.005)
    assert c.notes == ()


@pytest.mark.parametrize(
    ("effect", "sd", "opening", "ending"),
    [
        (-0.04, 0.004, "Pre-training hurt: −", "only what"),
        (0.0, 0.003, "Pre-training made no difference beyond the margin of 1 point: ", "two-sided p ="),
        (0.005, 0.003, "Pre-training helped, but by less than the margin of 1 point: +0.", "fewer"),
        (-0.005, 0.003, "Pre-training hurt, but by less than the margin of 1 point: −0.", "only what"),
        (
            0.012,
            0.04,
            "Pre-training did no harm beyond the margin of 1 point, but whether it helped",
            "would settle it.",
        ),
        (0.0, 0.08, "Undecided whether pre-training helped: ", "would settle it."),
    ],
)
def test_every_verdict_reads_well(effect: float, sd: float, opening: str, ending: str) -> None:
    sentence = conclude(_curves(effect, sd=sd, seed=2)).sentence
    assert sentence.startswith(opening), sentence
    assert ending in sentence
    assert sentence.count(".") >= 1 and sentence.endswith(".") and "  " not in sentence and "nan" not in sentence


def test_raw_units_where_the_metric_is_no_share() -> None:
    curves = _curves(0.04)
    c = conclude(Curves(N, curves.seeds, {k: 30 * v - 20 for k, v in curves.scores.items()}), metric="R²", margin=0.1)
    assert re.match(r"Pre-training helped: \+1\.\d+ in R² over", c.sentence), c.sentence


def test_other_arms_are_named() -> None:
    c = conclude(_curves(0.04, adapted=0.09), treatment="adapted", control="pretrained")
    assert c.sentence.startswith("The arm 'adapted' helped: +") and "over the pre-trained arm" in c.sentence
    assert set(c.with_control) == {"scratch"} == set(c.with_treatment)


def test_a_better_classical_baseline_is_in_the_sentence() -> None:
    name = r"The classical baseline \(k-mer \+ logistic regression\) is better"
    everywhere = conclude(_curves(0.04, classical=0.07)).sentence
    assert re.search(
        name + r" still: \+\d\.\d points .* over the best pre-trained arm .*, ahead at 5 of 5 budgets\.$", everywhere
    )
    somewhere = conclude(_curves(0.04, classical=[-0.05, -0.05, -0.02, 0.07, 0.08])).sentence
    assert re.search(name + r" still at 2 of 5 budgets\.$", somewhere)
    hurt = conclude(_curves(-0.04, classical=[-0.15, -0.15, -0.12, 0.0, 0.0])).sentence
    assert re.search(name + r" than the best pre-trained arm at 2 of 5 budgets\.$", hurt)
    nowhere = conclude(_curves(0.04, classical=-0.03)).sentence
    assert "classical" not in nowhere
    unsure = conclude(_curves(0.04, sd=0.03, seed=7, classical=0.046)).sentence
    assert "scores higher than the best pre-trained arm on average" in unsure


def test_the_baseline_meets_the_best_pretrained_arm_not_the_stack() -> None:
    arms = {"frozen": 0.08, "classical": 0.06, "stacked": 0.12}
    assert "classical" not in conclude(_curves(0.04, **arms)).sentence
    lost = conclude(_curves(0.04, **(arms | {"classical": 0.10}))).sentence
    assert "over the probe of the frozen pre-trained network, the best pre-trained arm" in lost


def test_a_frozen_random_network_that_wins_is_told_too() -> None:
    assert "The frozen random network is better still" in conclude(_curves(0.03, **{"random-frozen": 0.06})).sentence


def test_three_seeds_are_told_what_they_cannot_do() -> None:
    c = conclude(_curves(0.04, seeds=3))
    assert "one-sided p = 0.125, the least with 3 seeds" in c.sentence
    assert any("never reject" in note for note in c.notes)


def test_failures_are_counted_and_compared_without() -> None:
    curves = _curves(0.04)
    scores = {k: v.copy() for k, v in curves.scores.items()}
    scores["pretrained"][1, 2] = 0.1
    c = conclude(Curves(N, curves.seeds, scores, (Failure("pretrained", 64, 1),)), condition="One checkpoint only.")
    assert c.notes[0] == "One checkpoint only."
    assert any(note.startswith("1 fit that diverged (pretrained) is kept") for note in c.notes)
    assert c.without_failures is not None and c.without_failures.n == 4
    assert c.without_failures.mean > c.main.overall.mean
    assert c.plain()["failures"] == [{"arm": "pretrained", "budget": 64, "seed": 1, "why": "diverged"}]


def test_budgets_are_corrected_for_their_number() -> None:
    c = conclude(_curves([0.0, 0.0, 0.0, 0.0, 0.03]))
    rows = c.main.budgets
    assert rows[-1].comparison.verdict is Verdict.HELPS and rows[-1].holds
    assert rows[-1].p_holm == pytest.approx(5 * rows[-1].comparison.t_greater)
    assert not any(row.holds for row in rows[:-1])


def test_one_budget_still_gives_a_verdict() -> None:
    curves = _curves(0.04)
    one = Curves((64,), curves.seeds, {k: v[:, 2:3] for k, v in curves.scores.items()})
    c = conclude(one)
    assert "with 64 labels (90 % interval" in c.sentence and c.saved is None and c.needs is None
    assert any("One budget alone" in note for note in c.notes)
    assert "at one budget" in c.finding().how


def test_identical_arms() -> None:
    same = np.tile([0.5, 0.6, 0.7, 0.8, 0.9], (5, 1))
    c = conclude(Curves(N, (0, 1, 2, 3, 4), {"pretrained": same, "scratch": same}))
    assert c.sentence.startswith("Pre-training made no difference beyond the margin of 1 point: 0.0 points")
    assert "the same in all 5 seeds" in c.sentence
    few = conclude(Curves(N, (0, 1), {"pretrained": same[:2], "scratch": same[:2]}))
    assert few.sentence.startswith("Undecided") and "about 5 seeds would settle it" in few.sentence


def test_plain_is_json_and_the_finding_agrees() -> None:
    c = conclude(_curves(0.04, classical=0.02, **{"random-frozen": -0.1}))
    plain = json.loads(json.dumps(c.plain(), allow_nan=False))
    assert plain["sentence"] == c.sentence and plain["verdict"] == "HELPS"
    assert plain["main"]["overall"]["mean"] == c.main.overall.mean
    assert plain["with_treatment"]["classical"]["overall"]["mean"] == pytest.approx(
        -plain["with_control"]["classical"]["overall"]["mean"] + plain["main"]["overall"]["mean"]
    )
    assert len(plain["labels_saved"]["equivalents"]) == 5 and plain["forecast"]["arms"]["pretrained"]
    finding = c.finding()
    assert isinstance(finding, Finding)
    assert finding.plain()["interval"] == [c.main.overall.low, c.main.overall.high]
    assert "sign-flip" in finding.how and "90 % t-interval" in finding.how


def test_curves_carry_both_bands() -> None:
    plain = json.loads(json.dumps(_curves(0.04).plain("accuracy")))
    assert set(plain["arms"]["scratch"]) == {"scores", "what", "mean", "low", "high", "low_all", "high_all"}
    assert plain["metric"] == "accuracy" and plain["budgets"] == list(N)


def test_curves_from_fits() -> None:
    fits = [
        {"arm": a, "budget": b, "seed": s, "score": i + b / 1000 + s / 100, "diverged": (a, b, s) == ("x", 64, 1)}
        for i, a in enumerate(("x", "y"))
        for b in (64, 16)
        for s in (1, 0)
    ]
    curves = Curves.of(fits)
    assert (curves.budgets, curves.seeds) == ((16, 64), (0, 1))
    assert curves.scores["y"] == pytest.approx(np.array([[1.016, 1.064], [1.026, 1.074]]))
    assert curves.failures == (Failure("x", 64, 1),)
    with pytest.raises(InputError, match="none for arm 'y', budget 16, seed 0"):
        Curves.of(fits[:-1])
    with pytest.raises(InputError, match="given twice"):
        Curves.of([*fits, fits[0]])


@pytest.mark.parametrize(
    ("budgets", "seeds", "scores", "message"),
    [
        ((1, 2), (0,), np.zeros((1, 2)), "seeds: 1 seed gives no interval"),
        ((2, 1), (0, 1), np.zeros((2, 2)), "rising"),
        ((1, 1), (0, 1), np.zeros((2, 2)), "rising"),
        ((), (0, 1), np.zeros((2, 0)), "rising"),
        ((1, 2), (0, 1), np.zeros((2, 3)), r"expected \(2, 2\)"),
        ((1, 2), (0, 7), np.array([[0, 0], [0, np.nan]]), "budget 2, seed 7: score nan"),
    ],
)
def test_bad_curves_are_refused(budgets: tuple, seeds: tuple, scores: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Curves(budgets, seeds, {"a": scores})


def test_unknown_arms_are_refused() -> None:
    with pytest.raises(InputError, match="did you mean 'pretrained'"):
        conclude(_curves(), treatment="pretraind")


def test_the_evidence_needs_no_torch() -> None:
    code = "import sys, exapt.evidence.conclude; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _claims(effect: float, repeats: int) -> list[Conclusion]:
    return [conclude(_curves(effect, sd=0.02, seed=i), resamples=50) for i in range(repeats)]


@pytest.mark.slow
def test_null_studies_rarely_claim_help() -> None:
    claimed = np.mean([c.verdict is Verdict.HELPS for c in _claims(0.0, 500)])
    assert claimed <= 0.05 + 2.5 * np.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
def test_planted_gains_are_found() -> None:
    assert np.mean([c.verdict is Verdict.HELPS for c in _claims(0.03, 100)]) > 0.8


def test_pairs_of_arms_are_compared_with_holm_over_them() -> None:
    curves = _curves(0.02, sd=0.002, other=0.05, same=0.02, slow=-0.03)
    pairs = [("other", "pretrained"), ("slow", "scratch"), ("same", "pretrained"), ("other", "slow")]
    found = conclude(curves, pairs=pairs, unlike=[("other", "slow")]).pairs
    assert [p.versus.overall.verdict for p in found] == ["HELPS", "HARMS", "EQUIVALENT", "HELPS"]
    assert [p.versus.overall.mean for p in found] == pytest.approx([0.03, -0.03, 0.0, 0.08], abs=0.004)
    direct = versus(curves, "other", "pretrained", 0.01)
    assert found[0].versus == direct and direct.overall.t_greater <= found[0].p_holm <= 4 * direct.overall.t_greater
    assert found[0].holds and not found[2].holds
    assert found[0].sentence.startswith("The arm 'other' is better than the pre-trained arm: +")
    assert "it holds after Holm's correction over 4 comparisons (p " in found[0].sentence
    assert found[1].sentence.startswith("The arm 'slow' is worse than training from scratch: −")
    assert "differ by no more than 1 point" in found[2].sentence
    assert "not adapted alike" in found[3].sentence and "alike" not in found[0].sentence
    plain = conclude(curves, pairs=pairs).plain()["pairs"]
    assert [(p["arm"], p["against"]) for p in plain] == pairs
    assert json.loads(json.dumps(plain)) == plain


def test_a_pair_that_many_comparisons_leave_undecided_does_not_hold() -> None:
    noisy = {f"a{i}": 0.012 for i in range(12)}
    curves = _curves(0.0, sd=0.03, seeds=5, seed=3, **noisy)
    alone = [p for name in noisy for p in conclude(curves, pairs=[(name, "scratch")]).pairs if p.holds]
    together = [p for p in conclude(curves, pairs=[(name, "scratch") for name in noisy]).pairs if p.holds]
    assert len(alone) > len(together)


def test_no_pair_gives_none_and_an_unknown_arm_is_refused() -> None:
    assert conclude(_curves()).pairs == ()
    with pytest.raises(InputError, match="nowhere"):
        conclude(_curves(), pairs=[("nowhere", "scratch")])
