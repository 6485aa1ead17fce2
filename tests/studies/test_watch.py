"""Pre-training watched by its target: what is kept, that it resumes exactly, and what it refuses."""

import shutil

import numpy as np
import pytest
import torch
from study_standins import pictures, study_file

import exapt
from exapt.errors import InputError
from exapt.files import read_json
from exapt.studies import watch
from exapt.studies.folder import RunFolder
from exapt.studies.labelled import Labelled
from exapt.studies.prepare import prepare
from exapt.studies.reading import read_study
from exapt.studies.watch import PARTS, Parts, WatchSpec
from exapt.studies.watched import paired, watched_sentences
from exapt.training.pretrained import load_pretrained
from exapt.training.weights import read_tensors

WATCH = {"every": 4, "labels": 16, "finetune": 1}
CHANGES = {
    "watch": WATCH,
    "pretrain": {"steps": 12, "batch": 32, "lr": 0.02, "checkpoint_every": 5, "holdout": 0.1},
    "arms": ["pretrained", "scratch"],
    "budgets": [16],
}


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    study = study_file(folder, pictures(folder / "pics.npz"), **CHANGES)
    result = exapt.run(study, out=folder / "run", workers=1)
    return folder, study, result


def facts_of(run):
    return read_json(run / "checkpoints" / "pretrained-0" / "exapt.json")["record"]["watched"]["target"]


def test_the_best_look_is_kept_in_the_artifact(watched):
    folder, _, result = watched
    facts, run = facts_of(folder / "run"), folder / "run" / "checkpoints" / "pretrained-0"
    assert [line["step"] for line in facts["looks"]] == [0, 4, 8, 12]
    scores = [line["choosing"] for line in facts["looks"]]
    assert facts["kept"] == max(line["step"] for line in facts["looks"] if line["choosing"] == max(scores))
    assert read_json(run / "exapt.json")["record"]["weights"] == f"best for the target, step {facts['kept']}"
    best = read_tensors(run / "watch" / f"best-{facts['kept']:08d}.safetensors", watch.KIND)
    kept = load_pretrained(run).backbone.state_dict()
    assert all(
        torch.equal(best[f"backbone.{name}"], tensor) for name, tensor in kept.items() if f"backbone.{name}" in best
    )
    assert sum(f"backbone.{name}" in best for name in kept) > 5
    assert set(facts["confirmed"]) == {"kept over last", "kept over the start", "last over the start"}
    assert len(facts["fine-tuned"]["kept"]) == len(facts["fine-tuned"]["last"]) == 1
    assert any("was watched by the target" in sentence for sentence in result.data["method"])
    assert any("which no budget counts" in sentence for sentence in result.data["method"])


def test_parts_share_nothing_with_each_other_or_the_test(watched):
    folder, study, _ = watched
    spec = read_study(study)
    data = Labelled(spec, load_pretrained(folder / "run" / "checkpoints" / "pretrained-0").domain)
    parts = Parts.of(WatchSpec(**WATCH), data.examples, data.split.pool, data.task, 16, seed=0)
    rows = {name: set(parts.examples[name].rows.tolist()) for name in PARTS}
    assert sum(map(len, rows.values())) == len(set.union(*rows.values())) == len(data.split.pool)
    assert not set.union(*rows.values()) & set(data.test.rows.tolist())
    for train, valid in parts.draws:
        assert set(train.rows.tolist()) | set(valid.rows.tolist()) <= rows["fit"]
    assert len(parts.draws) == 5
    fewer = Parts.of(WatchSpec(**WATCH, most=90), data.examples, data.split.pool, data.task, 16, seed=0)
    assert 86 <= sum(fewer.sizes().values()) <= 92
    with pytest.raises(
        InputError, match=r"watch divides the pool of 128 into four parts, and needs 20 .* and 64 to fit"
    ):
        Parts.of(WatchSpec(**WATCH), data.examples, data.split.pool, data.task, 64, seed=0)


def test_an_interrupted_run_ends_as_the_whole_one_does(watched, tmp_path, monkeypatch):
    folder, study, _ = watched
    spec, seen = read_study(study), watch.TargetWatcher.stepped

    def killed(self, step, optimiser):
        seen(self, step, optimiser)
        if step == 9:  # after the look at step 8, before the checkpoint at step 10
            raise KeyboardInterrupt

    monkeypatch.setattr(watch.TargetWatcher, "stepped", killed)
    again = RunFolder(tmp_path / "run")
    again.claim(spec)
    with pytest.raises(KeyboardInterrupt):
        prepare(spec, again)
    monkeypatch.setattr(watch.TargetWatcher, "stepped", seen)
    prepare(spec, again)
    assert facts_of(tmp_path / "run") == facts_of(folder / "run")
    one, other = (load_pretrained(f / "checkpoints" / "pretrained-0") for f in (tmp_path / "run", folder / "run"))
    assert all(torch.equal(a, b) for a, b in zip(one.backbone.parameters(), other.backbone.parameters(), strict=True))


def test_a_target_that_loses_ends_the_run(watched, tmp_path, monkeypatch):
    """Scores that fall after step 4 end the run there, and the weights of step 4 are kept."""
    _, study, _ = watched
    spec, rng = (
        read_study(study, ["pretrain.steps=40", "pretrain.checkpoint_every=40", "watch.finetune=0"]),
        np.random.default_rng(0),
    )
    levels = {0: 0.5, 1: 0.9}
    looks = []

    def scores(self, *names):
        level = levels.get(len(looks), 0.2)
        looks.append(names)
        return {name: rng.binomial(5, level, 200) / 5 for name in names}

    monkeypatch.setattr(watch.TargetWatcher, "scores", scores)
    run = RunFolder(tmp_path / "run")
    run.claim(spec)
    looks.append(("confirm",))  # the start's scores on the part that confirms are no look
    levels[2] = 0.9
    prepare(spec, run)
    facts = facts_of(tmp_path / "run")
    assert facts["kept"] in (0, 4) and facts["last"] < 40
    assert facts["stopped"] == f"the target is worse than at step {facts['kept']}"
    assert facts["looks"][-1]["fortune"] >= 20
    [sentence, _] = watched_sentences([facts])
    assert f"stopped at step {facts['last']}" in sentence


def test_a_lost_file_of_best_weights_is_named(watched, tmp_path):
    folder, study, _ = watched
    shutil.copytree(folder / "run", tmp_path / "run")
    run = tmp_path / "run" / "checkpoints" / "pretrained-0"
    (run / "exapt.json").unlink()
    shutil.rmtree(run / "watch")
    with pytest.raises(InputError, match=r"watch/best-.*no such file"):
        prepare(read_study(study), RunFolder(tmp_path / "run"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["watch.every=null", "pretrain.holdout=0"], "set watch.every to some steps"),
        (["checkpoint=x", "corpus=null"], "set watch to null"),
        (["watch.draws=3"], "draws"),
    ],
)
def test_mistakes(watched, changes, message):
    _, study, _ = watched
    with pytest.raises(InputError, match=message):
        read_study(study, changes)


def test_paired_items_have_a_t_interval():
    found = paired(np.array([0.0, 0.1, 0.2, 0.3]))
    assert found["mean"] == pytest.approx(0.15) and found["n"] == 4
    assert found["high"] - 0.15 == pytest.approx(2.353363 * np.std([0, 0.1, 0.2, 0.3], ddof=1) / 2, rel=1e-5)
