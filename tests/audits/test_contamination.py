"""The audit on a small text study: planted overlap, a clean control, and what it says where it cannot."""

import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from exapt.audits import AUDITS, ContaminationAudit, Subject
from exapt.audits.contamination import clusters_of
from exapt.audits.overlap.fields import compare
from exapt.domains import from_arrays
from exapt.domains.dna import DnaSpec
from exapt.domains.graph import GraphSpec
from exapt.domains.image import ImageSpec
from exapt.domains.protein import ProteinSpec
from exapt.domains.text import TextSpec
from exapt.errors import InputError

TESTS, LENGTH = 120, 30


def phrases(rng, count, length=LENGTH):
    letters = np.array([f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"])
    return [" ".join(letters[rng.integers(0, len(letters), length)]) for _ in range(count)]


def study(overlap=0.5, planted=60, effect=0.4, seeds=3):
    """A subject of 120 test texts, of which the corpus holds `planted` by half; their scores gain from it."""
    rng = np.random.default_rng(0)
    texts = phrases(rng, TESTS)
    held = [" ".join(text.split()[: int(overlap * LENGTH)]) for text in texts[:planted]]
    corpus = phrases(rng, 200) + [f"{start} {part}" for start, part in zip(phrases(rng, planted), held, strict=True)]
    domain = TextSpec(tokens="characters").build(from_arrays(corpus + texts))
    share = np.where(np.arange(TESTS) < planted, overlap, 0.0)

    def items(record):
        draw = np.random.default_rng([record["seed"], record["arm"] == "pretrained"])
        gain = (0.03 + effect * share) * (record["arm"] == "pretrained")
        return 0.4 + gain + draw.normal(0, 0.05, TESTS)

    fits = [{"arm": a, "seed": s, "budget": 8} for a in ("pretrained", "scratch") for s in range(seeds)]
    return Subject(
        start=SimpleNamespace(domain=domain),
        fresh=None,
        corpus=lambda: domain.read(from_arrays(corpus)),
        labelled=domain.read(from_arrays([*phrases(rng, 10), *texts])),
        pool=np.arange(10),
        test=np.arange(10, 10 + TESTS),
        task=None,
        adapt=None,
        probe=None,
        budgets=[8],
        seeds=seeds,
        fits=fits,
        items=items,
    )


def test_planted_overlap_is_found_and_the_clean_gain_is_the_planted_one():
    found = ContaminationAudit().run(study())
    assert found.verdict == "CONTAMINATED" and found.level == "bad"
    assert found.details["overlapping"] == 60 and found.details["undecidable"] == 0
    gain = found.details["clean gain"]
    assert found.effect == gain["gain"] == pytest.approx(0.03, abs=0.02)
    assert found.interval[0] < 0.03 < found.interval[1]
    assert gain["naive"] == pytest.approx(0.03 + 0.1, abs=0.02)
    assert "60 of 120" in found.sentence and "Clean gain" in found.sentence and "naive gain" in found.sentence
    assert len(found.plots) == 2 and len(found.listings) == 2
    row = found.listings[0].rows[0]
    assert 10 <= row[0] < 70 and "15 of 30 words" in row[2] and "⟦" in row[4] and "⟦" in row[5]
    json.dumps(found.plain())


def test_a_clean_corpus_is_called_clean():
    found = ContaminationAudit().run(study(planted=0))
    assert (found.verdict, found.level) == ("CLEAN", "good")
    assert found.details["clean gain"]["by"] == "clean items"
    assert found.effect == pytest.approx(0.03, abs=0.02)


def test_examples_too_short_to_say_leave_it_undecided():
    found = ContaminationAudit(n=31).run(study())
    assert (found.verdict, found.level) == ("UNDECIDED", "unsure")
    assert found.details["undecidable"] == TESTS and any("shorter" in said for said in found.caveats)


@pytest.mark.parametrize(
    ("overlapping", "undecidable", "verdict"),
    [(0, 0, "CLEAN"), (1, 0, "CLEAN"), (2, 0, "CONTAMINATED"), (1, 1, "UNDECIDED"), (0, 2, "UNDECIDED")],
)
def test_the_verdict_is_a_count_against_the_tolerance(overlapping, undecidable, verdict):
    assert ContaminationAudit().verdict(overlapping, undecidable, 100) == verdict


def test_other_files_may_be_compared_and_have_no_clean_gain(tmp_path):
    subject = study()
    texts = subject.domain.texts(subject.labelled)
    path = tmp_path / "bench.jsonl"
    path.write_text(
        "".join(json.dumps({"text": t}) + "\n" for t in [*texts[10:15], *phrases(np.random.default_rng(9), 5)])
    )
    found = ContaminationAudit.parse({"kind": "contamination", "against": {"path": str(path)}}, "here").run(subject)
    assert found.details["of"] == 10 and found.details["overlapping"] == 5
    assert found.interval is None and any("not the ones" in said for said in found.caveats)
    corpus = tmp_path / "corpus.txt"
    corpus.write_text("\n".join(texts[10:13]))
    audit = ContaminationAudit.parse({"kind": "contamination", "corpus": {"path": str(corpus)}}, "here")
    assert audit.run(subject).details["overlapping"] == 3, "a .txt file is one record, read in pieces"


def test_without_fits_the_share_is_the_effect():
    found = ContaminationAudit().run(replace(study(), fits=(), items=None))
    assert found.effect == 0.5 and found.interval is None and any("no fits" in said for said in found.caveats)


def test_a_group_is_the_cluster_else_the_shared_record():
    subject = study()
    found = compare(subject.domain, subject.corpus(), subject.labelled.subset(subject.test), _settings())
    tests = subject.labelled.subset(subject.test)
    by_record = clusters_of(found, tests)
    assert len(np.unique(by_record)) == TESTS
    grouped = replace(tests, columns={"patient": np.arange(TESTS) // 4}, roles={"group": ("patient",)})
    assert len(np.unique(clusters_of(found, grouped))) == TESTS // 4


def _settings():
    return ContaminationAudit()._settings(SimpleNamespace(cache=None))


def letters(rng, alphabet, count, length):
    return ["".join(row) for row in rng.choice(list(alphabet), (count, length))]


@pytest.mark.parametrize("tokens", ["base", "kmer", "bpe"])
def test_dna_is_compared_by_bases_on_both_strands_whatever_its_tokens(tokens):
    rng = np.random.default_rng(0)
    genome = letters(rng, "ACGT", 1, 4000)[0]
    other = genome[::-1].translate(str.maketrans("ACGT", "TGCA"))
    tests = [genome[101:182], other[205:286], *letters(rng, "ACGT", 3, 81)]
    domain = DnaSpec(tokens=tokens).build(from_arrays([genome]))
    found = compare(domain, domain.read(from_arrays([genome])), domain.read(from_arrays(tests)), _settings())
    assert (found.unit, found.n) == ("base", 24)
    assert found.longest.tolist() == [81, 81, 0, 0, 0] and found.reverse.tolist()[:2] == [False, True]
    assert tests[0][:20] in found.excerpts[0][0]


def test_protein_and_pictures_have_their_own_comparison():
    rng = np.random.default_rng(0)
    rows = letters(rng, "ACDEFGHIKLMNPQRSTVWY", 6, 50)
    domain = ProteinSpec().build()
    found = compare(domain, domain.read(from_arrays(rows[:4])), domain.read(from_arrays(rows[2:])), _settings())
    assert (found.unit, found.n) == ("residue", 12) and found.score.tolist() == [1, 1, 0, 0]
    pictures = rng.integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
    domain = ImageSpec().build(from_arrays(pictures))
    found = compare(domain, domain.read(from_arrays(pictures[:4])), domain.read(from_arrays(pictures[2:])), _settings())
    assert found.score == pytest.approx([1, 1, 0, 0])


def test_a_field_without_a_comparison_says_so():
    with pytest.raises(InputError, match="SimpleNamespace has no comparison of examples yet"):
        compare(SimpleNamespace(), None, None, _settings())


def test_the_self_test_passes():
    trials = ContaminationAudit.self_test(seed=1)
    assert all(trial.passed for trial in trials), trials
    assert AUDITS["contamination"] is ContaminationAudit


def test_the_examples_of_its_page_run(capsys):
    page = (Path(__file__).parents[2] / "docs" / "audits" / "contamination.md").read_text("utf-8")
    space = {}
    for block in re.findall(r"```python\n(.*?)```", page, re.S):
        exec(block, space)
    assert space["found"].score.tolist() == [1.0, 0.0]
    assert space["gain"].interval[0] < 0.03 < space["gain"].interval[1]
    assert "⟦it was the worst of times" in capsys.readouterr().out


def test_graphs_are_compared_up_to_the_numbering_of_their_nodes() -> None:
    rng = np.random.default_rng(0)
    graphs = [
        SimpleNamespace(x=rng.integers(0, 2, (7, 2)), edge_index=rng.integers(0, 7, (2, 9)), num_nodes=7)
        for _ in range(4)
    ]
    order = rng.permutation(7)
    twin = SimpleNamespace(x=graphs[2].x[order], edge_index=np.argsort(order)[graphs[2].edge_index], num_nodes=7)
    domain = GraphSpec(level="graph").build(from_arrays(graphs))
    found = compare(domain, domain.read(from_arrays(graphs)), domain.read(from_arrays([graphs[0], twin])), _settings())
    assert found.twin.tolist() == [0, 2]
    other = domain.read(from_arrays([graphs[0]]))
    assert compare(domain, other, domain.read(from_arrays([twin])), _settings()).twin.tolist() == [-1]
    nodes = GraphSpec().build(from_arrays(graphs[:1]))
    with pytest.raises(InputError, match=r"the nodes of one graph always stand in the corpus"):
        compare(nodes, other, other, _settings())
