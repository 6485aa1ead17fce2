"""Audits of a study: in its report, kept by the content of their evidence, and never at the price of the report."""

import json
import shutil

import numpy as np
import pytest
import yaml
from study_standins import TINY, cli, pictures, refused, study_file

import exapt
from exapt.audits import TransferAudit
from exapt.errors import InputError
from exapt.files import read_json
from exapt.studies.executor import one_thread


@pytest.fixture
def count_runs(monkeypatch):
    """How often the audit was computed."""
    runs = []
    real = TransferAudit.run
    monkeypatch.setattr(TransferAudit, "run", lambda self, subject: runs.append(self.least) or real(self, subject))
    return runs


def found(folder):
    return read_json(folder / "report.json")["audits"]


def with_audits(copied, *audits, **changes):
    return study_file(copied.folder.parent, copied.data, audits=list(audits), **changes)


def test_a_study_makes_the_audits_it_lists_and_keeps_them(copied, count_runs):
    study = with_audits(copied, {"kind": "transfer", "least": 5})
    exapt.run(study, out=copied.folder, workers=1)
    [finding] = found(copied.folder)
    [path] = (copied.folder / "findings").glob("audit-transfer-*.json")
    kept = read_json(path)
    assert (finding["name"], finding["n"], kept) == ("transfer", TINY["seeds"], finding)
    assert set(finding["details"]["parts"]) == {"0", "1"} and finding["spec"]["least"] == 5
    page = (copied.folder / "report.html").read_text("utf-8")
    assert "Audit: transfer" in page and finding["verdict"] in page
    assert "Audit: transfer" in (copied.folder / "report.md").read_text("utf-8")
    again = exapt.run(study, out=copied.folder, workers=1)
    assert again.computed == 0 and count_runs == [5] and found(copied.folder) == [finding]


def test_the_effect_is_the_mean_difference_of_the_items(copied):
    exapt.run(with_audits(copied, {"kind": "transfer"}), out=copied.folder, workers=1)
    [finding] = found(copied.folder)
    scores = {(f["arm"], f["budget"], f["seed"]): f["score"] for f in read_json(copied.folder / "report.json")["fits"]}
    each = [
        np.mean([scores["pretrained", b, s] - scores["scratch", b, s] for b in TINY["budgets"]])
        for s in range(TINY["seeds"])
    ]
    assert finding["effect"] == pytest.approx(np.mean(each))  # accuracy is the mean of right and wrong


def test_more_evidence_or_another_key_makes_it_anew(copied, count_runs):
    exapt.run(with_audits(copied, {"kind": "transfer"}), out=copied.folder, workers=1)
    exapt.run(with_audits(copied, {"kind": "transfer", "least": 3}), out=copied.folder, workers=1)
    exapt.run(with_audits(copied, {"kind": "transfer", "least": 3}, seeds=3), out=copied.folder, workers=1)
    assert count_runs == [10, 3, 3] and [f["n"] for f in found(copied.folder)] == [3]


def test_an_audit_by_itself_goes_into_the_report_and_stays_there(copied, count_runs, capsys):
    code, out, _ = cli(capsys, "audit", "transfer", copied.folder, "--set", "least=5", "--json")
    finding = json.loads(out)
    assert code == 0 and finding["spec"] == TransferAudit(least=5).plain()
    assert found(copied.folder) == [finding]
    exapt.run(copied.study, out=copied.folder, workers=1)
    exapt.report(copied.folder)
    assert found(copied.folder) == [finding] and count_runs == [5]
    code, out, err = cli(capsys, "audit", "transfer", copied.folder, "--set", "least=5")
    assert (code, err, count_runs) == (0, "", [5])
    assert out.startswith(finding["verdict"] + ". ") and out.rstrip().endswith("report.html")


def test_a_finding_of_other_evidence_is_not_shown(copied):
    exapt.audit("transfer", copied.folder)
    exapt.run(study_file(copied.folder.parent, copied.data, seeds=3), out=copied.folder, workers=1)
    assert found(copied.folder) == []


def test_an_audit_that_refuses_does_not_cost_the_report(copied):
    said = []
    with_audits(copied, {"kind": "transfer", "by": "patient"})
    result = exapt.run(copied.study, out=copied.folder, workers=1, say=said.append)
    [finding] = found(copied.folder)
    assert result.verdict and finding["verdict"] == "NOT POSSIBLE"
    assert "no column 'patient' was read" in finding["sentence"] and finding["sentence"] in said
    assert "NOT POSSIBLE" in (copied.folder / "report.html").read_text("utf-8")
    assert not list((copied.folder / "findings").glob("audit-*.json"))


def test_an_audit_asked_for_by_itself_refuses_in_one_line(finished, tmp_path, capsys):
    said = refused(capsys, "audit", "transfer", finished.folder, "--set", "by=patient", "--json")
    assert "no column 'patient' was read; there are: label" in said
    assert "no such audit; did you mean 'transfer'?" in refused(capsys, "audit", "transfr")
    assert "which study?" in refused(capsys, "audit", "transfer")
    assert "no run here" in refused(capsys, "audit", "transfer", tmp_path)
    assert "unknown key 'leest'; did you mean 'least'?" in refused(
        capsys, "audit", "transfer", finished.folder, "--set", "leest=3"
    )


def test_lost_scores_of_single_examples_are_named(copied):
    fit = next((copied.folder / "fits").glob("*.json"))
    for path in (copied.folder / "fits").glob("*.npy"):
        path.unlink()
    with pytest.raises(InputError, match=r"fits/.*\.npy: no such file; .*delete fits/"):
        exapt.audit("transfer", copied.folder)
    assert fit.exists()


def test_parts_of_labelled_elements_by_group(tmp_path):
    rng = np.random.default_rng(0)
    rows = []
    for i in range(60):
        letters = "".join(rng.choice(list("ACDEFGHIKLMNPQRSTVWY"), rng.integers(4, 12)))
        rows.append(f"{letters},{''.join('HE'[c in 'ACDEFGHIK'] for c in letters)},{'ab'[i % 2]}{i % 20}")
    (tmp_path / "tags.csv").write_text("\n".join(["sequence,tags,family", *rows]) + "\n")
    data = TINY | {"domain": {"kind": "protein", "length": 16}, "objective": {"kind": "masked"}}
    data |= {"task": {"kind": "tag"}, "arms": ["pretrained", "scratch"], "budgets": [8], "split": {"by": "group"}}
    data |= {"corpus": {"path": "tags.csv"}, "audits": [{"kind": "transfer", "by": "family", "least": 2}]}
    data["labelled"] = {"path": "tags.csv", "label": "tags", "group": "family"}
    for key in ("corpus", "labelled"):
        data[key]["path"] = str(tmp_path / "tags.csv")
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(data))
    exapt.run(tmp_path / "study.yaml", out=tmp_path / "run", workers=1)
    [finding] = found(tmp_path / "run")
    facts = read_json(tmp_path / "run" / "report.json")["data"]
    sizes = finding["details"]["sizes"]
    assert len(sizes) > 1 and sum(sizes.values()) > facts["test"]  # elements, not sequences


def test_a_regression_is_not_told_as_right_answers(tmp_path):
    data = pictures(tmp_path / "pics.npz")
    study = study_file(
        tmp_path, data, task={"kind": "regress"}, arms=["pretrained", "scratch"], audits=[{"kind": "transfer"}]
    )
    with one_thread():
        exapt.run(study, out=tmp_path / "run", workers=1)
    [finding] = found(tmp_path / "run")
    assert finding["sentence"].startswith("The negative squared error of test examples changed by")
    assert "hundredths of the labels' variance" in finding["sentence"] and "right" not in finding["sentence"]


def test_a_self_test_is_passed_and_counts_its_errors(capsys):
    code, out, _ = cli(capsys, "audit", "transfer", "--self-test", "--json")
    trials = json.loads(out)["trials"]
    assert code == 0 and len(trials) >= 3 and all(trial["passed"] for trial in trials)


def test_a_moved_run_keeps_its_findings(copied, tmp_path, count_runs):
    exapt.audit("transfer", copied.folder)
    shutil.move(copied.folder, tmp_path / "elsewhere")
    exapt.report(tmp_path / "elsewhere")
    assert len(found(tmp_path / "elsewhere")) == 1 and len(count_runs) == 1


def test_one_kind_with_other_keys_is_another_finding(copied):
    study = with_audits(copied, {"kind": "transfer"}, {"kind": "transfer", "least": 5})
    exapt.run(study, out=copied.folder, workers=1)
    assert [one["spec"]["least"] for one in found(copied.folder)] == [TransferAudit().least, 5]
    assert "Audit: transfer (least 5)" in (copied.folder / "report.html").read_text("utf-8")
    exapt.audit("transfer", copied.folder, set=["least=7"])
    assert [one["spec"]["least"] for one in found(copied.folder)] == [TransferAudit().least, 5, 7]


def test_audits_side_by_side_are_those_made_one_after_another(copied, tmp_path):
    wanted = with_audits(copied, {"kind": "transfer"}, {"kind": "collapse"}, {"kind": "invariance"})
    shutil.copytree(copied.folder, tmp_path / "apart")
    exapt.run(wanted, out=copied.folder, workers=1)
    exapt.run(wanted, out=tmp_path / "apart", workers=2)
    assert found(tmp_path / "apart") == found(copied.folder)


def test_an_alarm_while_pretraining_is_told(copied):
    path = copied.folder / "checkpoints" / "pretrained-0" / "exapt.json"
    facts = read_json(path)
    facts["record"]["monitor"]["alarm"] = {"step": 3, "state": "COLLAPSED", "why": "rank 1 of 60"}
    path.write_text(json.dumps(facts))
    result = exapt.report(copied.folder)
    assert "Pre-training 1, step 3: COLLAPSED: rank 1 of 60." in result.data["warnings"]
