"""Profile, oracle, controls, nearest and complexity: planted truths that they must find, and formulas by hand."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains import from_arrays
from exapt.domains.alignment import identity
from exapt.domains.protein import ProteinSpec
from exapt.domains.tokens import PLAIN
from exapt.errors import InputError
from exapt.studies.constraints import Constraints, bind, places_of
from exapt.studies.filters import complexity, spread
from exapt.studies.judges import Judge, control, judged
from exapt.studies.nearest import Corpus
from exapt.studies.oracle import Oracle
from exapt.studies.profile import Profile

DOMAIN = ProteinSpec(length=40).build()
BASE = "ACDEFGHIKLMNPQRSTVWY"


def ids(*words: str) -> list[np.ndarray]:
    return [DOMAIN.encode(word) for word in words]


def test_a_profile_is_its_formula() -> None:
    members = ids("AC", "AC", "AD", "AE")
    profile = Profile.learn(members, members[0], PLAIN, 20)
    background = (np.array([4, 2, 1, 1] + [0] * 16) + 1) / 28
    second = (np.array([0, 2, 1, 1] + [0] * 16) + 2 * background) / 6
    assert profile.table[1] == pytest.approx(np.log2(second / background))
    assert profile.scores(ids("AC"))[0] == pytest.approx(profile.table[0, 0] + profile.table[1, 1])


def test_a_profile_aligns_members_of_other_lengths() -> None:
    members = ids(BASE, BASE[1:], BASE[:-2], "WWWW")
    profile = Profile.learn(members, members[0], PLAIN, 20)
    best = profile.table.argmax(1)
    assert best.tolist() == (members[0] - PLAIN).tolist()
    assert profile.scores(ids(BASE))[0] > profile.scores(ids(BASE[::-1]))[0]


def test_an_oracle_finds_planted_effects_and_pairs() -> None:
    rng = np.random.default_rng(0)
    letters = PLAIN + rng.integers(0, 4, (400, 3))
    effect = rng.normal(size=4)
    values = effect[letters[:, 0] - PLAIN] + 2.0 * ((letters[:, 1] == PLAIN) & (letters[:, 2] == PLAIN))
    fixed = np.full((400, 2), PLAIN + 9)
    rows = list(np.concatenate([fixed, letters], axis=1))
    oracle = Oracle.learn(rows, values)
    assert oracle.places == (2, 3, 4)
    assert oracle.spearman > 0.95
    assert oracle.scores(rows[:50]) == pytest.approx(values[:50], abs=0.2)
    strange = rows[0].copy()
    strange[2] = PLAIN + 15
    moved = rows[0].copy()
    moved[0] = PLAIN
    assert oracle.outside([rows[0], strange, moved, rows[0][:4]]) == 3
    assert np.isnan(oracle.scores([rows[0][:4]])[0])
    with pytest.raises(InputError, match="2 to 3 letters; valid: all of one length"):
        Oracle.learn([np.zeros(2, int)] * 20 + [np.zeros(3, int)], np.zeros(21))


def test_controls_are_as_far_from_the_template_at_the_same_free_places() -> None:
    bound = bind(Constraints(template=BASE, fixed="1-10", avoid=("C",)), DOMAIN, needs_length=True)
    rng, (design,) = np.random.default_rng(0), ids(BASE[:10] + "AAAA" + BASE[14:])
    for number in range(20):
        other = control(design, bound, number, rng)
        changed = np.flatnonzero(other != bound.templates[0])
        assert len(changed) == 4
        assert changed.min() >= 10
        assert "C" not in DOMAIN.decode(other)[10:]
    free = bind(Constraints(length="5", start="MK"), DOMAIN, needs_length=True)
    (design,) = ids("MKAVL")
    shuffled = control(design, free, 0, rng)
    assert DOMAIN.decode(shuffled)[:2] == "MK"
    assert sorted(shuffled.tolist()) == sorted(design.tolist())


def test_a_judge_sees_planted_designs_and_not_random_ones() -> None:
    class Alanines:
        def scores(self, sequences: list[np.ndarray]) -> np.ndarray:
            return np.array([float((one == PLAIN).sum()) for one in sequences])

    bound = bind(Constraints(template=BASE, fixed="1-5"), DOMAIN, needs_length=True)
    judge = Judge("alanines", Alanines(), {}, np.array([1.0, 2.0]))
    good = judged(judge, ids(*[BASE[:10] + "A" * k + BASE[10 + k :] for k in (3, 4, 5, 6)]), bound)
    assert good["gain"]["low"] > 0
    assert good["better than the control"] == 1.0
    assert good["template"] == 1.0
    rng = np.random.default_rng(1)
    random = [control(ids(BASE[:10] + "AAAA" + BASE[14:])[0], bound, 0, rng) for _ in range(60)]
    found = judged(judge, random, bound)["gain"]
    assert found["low"] < 0 < found["high"]


def test_the_nearest_of_a_corpus_is_found() -> None:
    words = [BASE, BASE[::-1], BASE[2:] + "AA", "MKVLAGMKVLAG"]
    corpus = Corpus(DOMAIN.read(from_arrays(words)))
    found = corpus.nearest(DOMAIN.encode(BASE[:-1] + "W"))
    assert (found.place, found.identity) == (0, pytest.approx(0.95))
    assert corpus.nearest(DOMAIN.encode("WWWWWW")) == (0.0, -1)
    rows = [DOMAIN.encode(word) for word in words]
    assert corpus.nearest(rows[3]).identity == 1.0 == max(identity(rows[3], row) for row in rows)


def test_complexity_and_spread_by_hand() -> None:
    assert complexity("AAAA") == 0
    assert complexity("AB") == pytest.approx(1)
    assert complexity("ABCDEFGHIJKL" + "A" * 12) == 0
    assert complexity("") == 0
    assert spread(ids("ACDE"), np.random.default_rng(0)) is None
    assert spread(ids("ACDE", "ACDF"), np.random.default_rng(0)) == pytest.approx(0.75)


def test_places_by_hand() -> None:
    assert places_of("1-3,7,9-", 10).tolist() == [0, 1, 2, 6, 8, 9]
    assert places_of(" 2 ", 3).tolist() == [1]


def test_what_is_given_may_hold_what_is_to_be_avoided() -> None:
    bound = bind(Constraints(template="CACDE", fixed="1", avoid=("C", "DE")), DOMAIN, needs_length=True)
    assert not bound.holds("CAAAA")
    assert bound.holds("CAACA")
    assert bound.holds("CAADE")
