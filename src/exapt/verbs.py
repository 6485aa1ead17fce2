"""The verbs: what the command line and Python users call, one function each."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exapt.errors import InputError, nearest
from exapt.studies.reading import catalogue, override, read_study, read_yaml

if TYPE_CHECKING:
    from exapt.audits import Audit, Trial
    from exapt.domains.base import Arrays, Source
    from exapt.evidence.conclude import Conclusion
    from exapt.studies.generating_sequences import Wishes
    from exapt.studies.runner import StudyResult
    from exapt.studies.spec import StudySpec
    from exapt.training.pretrained import Pretrained

Say = Callable[[str], None]
BARS = ("helps", "not-harms", "equivalent")


def list_studies() -> dict[str, str]:
    """The shipped studies and what each asks."""
    return {name: yaml.safe_load(text).get("about", "").strip() for name, text in sorted(catalogue().items())}


def show(name: str) -> str:
    """The YAML of a shipped study."""
    shipped = catalogue()
    if name not in shipped:
        raise InputError(f"{name}: no such study; {nearest(name, shipped)}")
    return shipped[name]


def schema() -> dict[str, Any]:
    """The JSON Schema of a study."""
    from exapt.studies.spec import StudySpec

    return StudySpec.model_json_schema()


def run(
    study: str | Path | StudySpec,
    *,
    out: Path | str | None = None,
    set: Sequence[str] = (),
    workers: int | None = None,
    say: Say = lambda _: None,
    progress: bool = False,
) -> StudyResult:
    """Run a study (a shipped name, a YAML file or a spec) into a folder and write its report.

    A finished study computes nothing; more seeds or budgets compute only what is new. Raises `InputError` for a
    user's mistake.
    """
    from exapt.reporting import write_report
    from exapt.studies.runner import run_study

    spec = read_study(study, set) if isinstance(study, str | Path) else study
    result = run_study(spec, out or Path("runs") / spec.name, workers, say, progress)
    write_report(result.folder, result.data)
    return result


@dataclass(frozen=True)
class Finished:
    """A finished pre-training."""

    folder: Path
    record: dict[str, Any]

    def summary(self) -> dict[str, Any]:
        return {"checkpoint": str(self.folder)} | self.record

    def sentence(self) -> str:
        from exapt.training.alarms import alarms_of

        loss = (self.record.get("best") or {}).get("loss")
        found = f", held-out loss {loss:.4f}" if loss is not None else ""
        alarms = "".join(f"\n{alarm}" for alarm in alarms_of(self.record))
        return f"pre-trained {self.record.get('steps', '?')} steps{found}{alarms}\n{self.folder}"


def pretrain(
    study: str | Path,
    *,
    out: Path | str | None = None,
    set: Sequence[str] = (),
    fresh: bool = False,
    begin: Path | str | None = None,
    progress: bool = False,
) -> Finished:
    """Pre-train as a study or a YAML file with the same keys says (domain, corpus, backbone, objective, pretrain).

    `begin` is a checkpoint of the same domain and network whose weights it goes on from.
    """
    from exapt.studies.pretraining import PretrainSpec
    from exapt.training.pretrain import pretrain as run_pretraining

    data, where = read_yaml(study)
    spec = PretrainSpec.of(override(data, set), where)
    folder = Path(out) if out else Path("runs") / f"{spec.name}-pretrained"
    done = run_pretraining(
        spec.corpus,
        spec.domain,
        spec.backbone,
        spec.objective,
        spec.pretrain,
        folder,
        resume=not fresh,
        progress=progress,
        begin=Path(begin) if begin else None,
    )
    return Finished(folder, done.record)


def load(path: Path | str) -> Pretrained:
    """Load a checkpoint; a file that is missing, truncated or tampered with is refused."""
    from exapt.training.pretrained import load_pretrained

    return load_pretrained(Path(path))


def adapt(
    checkpoint: Path | str,
    labelled: str | Source,
    *,
    out: Path | str,
    label: str | Sequence[str] | None = None,
    column: str | None = None,
    group: str | None = None,
    task: str = "classify",
    budget: int | None = None,
    seed: int = 0,
    set: Sequence[str] = (),
) -> dict[str, Any]:
    """Adapt a checkpoint to a labelled task; the fitted model and its record are written to `out`."""
    from exapt.studies.single import adapt_once

    spec = _spec_of(checkpoint, labelled, label, column, group, task, [2 if budget is None else budget], 2, set)
    return adapt_once(spec, Path(out), budget, seed)


def probe(
    checkpoint: Path | str,
    labelled: str | Source,
    *,
    label: str | Sequence[str] | None = None,
    column: str | None = None,
    group: str | None = None,
    task: str = "classify",
    budget: int | None = None,
    seed: int = 0,
    set: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Linear and kNN probes of the frozen features and, as the floor, of a random network."""
    from exapt.studies.single import probe_once

    spec = _spec_of(checkpoint, labelled, label, column, group, task, [2 if budget is None else budget], 2, set)
    return probe_once(spec, budget, seed)


def prove(
    checkpoint: Path | str,
    labelled: str | Source,
    *,
    out: Path | str | None = None,
    label: str | Sequence[str] | None = None,
    column: str | None = None,
    group: str | None = None,
    task: str = "classify",
    budgets: Sequence[int] = (32, 64, 128, 256),
    seeds: int = 5,
    set: Sequence[str] = (),
    workers: int | None = None,
    say: Say = lambda _: None,
    progress: bool = False,
) -> StudyResult:
    """A study of a checkpoint that exists already, against training from scratch."""
    spec = _spec_of(checkpoint, labelled, label, column, group, task, list(budgets), seeds, set)
    return run(spec, out=out, workers=workers, say=say, progress=progress)


def predict(
    fitted: Path | str,
    source: str | Source | Arrays,
    *,
    out: Path | str,
    column: str | None = None,
    record: str | None = None,
    say: Say = lambda _: None,
    **scan: Any,
) -> int:
    """Predict new examples; writes csv, npz or parquet by the ending of `out` and returns how many.

    `record` says what one example of a .txt file is: file, line or paragraph. A genome is scanned into .bed or
    .bedgraph; `scan` are then the fields of `exapt.studies.tracks.Scan`: window, stride, strand, at, threshold,
    unknown, label.
    """
    from exapt.studies.single import predict_file, scan_genome

    if scan or Path(out).suffix in (".bed", ".bedgraph", ".bg"):
        return scan_genome(Path(fitted), _readable(source, column, record), Path(out), scan, say)
    return predict_file(Path(fitted), _readable(source, column, record), Path(out))


def variants(
    checkpoint: Path | str,
    table: str,
    *,
    wild_type: str,
    out: Path | str | None = None,
    column: str | None = None,
    label: str | None = None,
    beside: Sequence[str] = (),
    offset: int = 0,
    how: Sequence[Any] = ("masked-marginals",),
    labels: Sequence[int] = (),
    seeds: int = 5,
) -> dict[str, Any]:
    """Score mutants of a protein with a masked network, and compare with a measured effect where `label` names it."""
    from exapt.studies.variants import score_variants

    where = None if out is None else Path(out)
    return score_variants(Path(checkpoint), table, wild_type, where, column, label, beside, offset, how, labels, seeds)


def embed(
    checkpoint: Path | str,
    source: str | Source | Arrays,
    *,
    out: Path | str,
    column: str | None = None,
    record: str | None = None,
    pooling: str = "mean",
) -> tuple[int, int]:
    """Write the frozen features of examples; returns (rows, width). `record`: as for `predict`."""
    from exapt.studies.single import embed_file

    return embed_file(Path(checkpoint), _readable(source, column, record), Path(out), pooling)


def undivided(folder: Path | str, source: str, record: str | None) -> str:
    """What to say where nobody said how a .txt file is divided and a model takes the whole as one example; else ''."""
    if record is not None or not source.lower().endswith(".txt"):
        return ""
    from exapt.domains import load_domain

    form = getattr(load_domain(Path(folder).expanduser() / "domain"), "form", None)
    if form is None or form.record != "file":
        return ""
    return (
        f"\n{source}: the whole file is one example; --record line takes one a line, --record paragraph one a paragraph"
    )


def export(checkpoint: Path | str, out: Path | str, *, to: str = "huggingface") -> None:
    """Export a checkpoint to another library's folder."""
    if to != "huggingface":
        raise InputError(f"--to {to}; {nearest(to, ['huggingface'])}")
    from exapt.integrations.huggingface import export_huggingface

    strangers = sorted(p.name for p in Path(out).iterdir()) if Path(out).is_dir() else []
    if strangers and "config.json" not in strangers:
        raise InputError(f"{out}: holds other files ({strangers[0]}, …); choose a new folder with --out")
    export_huggingface(load(checkpoint), Path(out))


def generate(
    checkpoint: Path | str,
    out: Path | str,
    *,
    count: int = 1000,
    temperature: float = 1.0,
    top_p: float = 1.0,
    seed: int = 0,
    max_atoms: int | None = None,
    against: str | None = None,
    page: Path | str | None = None,
    wishes: Wishes | None = None,
    say: Say = lambda _: None,
) -> dict[str, Any]:
    """Write new texts, sequences or molecules; the figures are returned, without what was written.

    Molecules need an autoregressive checkpoint; sequences come from a masked one too. `wishes` are constraints, filters
    and judges of sequences (`exapt.studies.generating_sequences.Wishes`). `page` is an .html to write the figures into.
    """
    from exapt.reporting.molecules import write_molecules
    from exapt.reporting.sequences import write_designs
    from exapt.studies.generating import Sampling, generate_file
    from exapt.studies.generating_sequences import Wishes as Asked

    sampling = Sampling(count, temperature, top_p, seed, max_atoms)
    found = generate_file(Path(checkpoint), Path(out), sampling, against, say, wishes or Asked(), page is not None)
    if page is not None:
        (write_molecules if "smiles" in found else write_designs)(Path(page), found)
    return {name: value for name, value in found.items() if name not in ("smiles", "sequences")}


def shrink(folder: Path | str, out: Path | str, *, share: float = 0.5, heads: bool = False) -> dict[str, Any]:
    """Write a checkpoint or a fitted model without its least important neurons; the sizes before and after."""
    from exapt.adaptation.shrinking import shrink_folder

    if not 0 < share < 1:
        raise InputError(f"--share {share:g}; expected between 0 and 1, the share of neurons to take out")
    return shrink_folder(folder, out, share, heads)


def report(folder: Path | str) -> StudyResult:
    """Write a run's report anew from its fits on disk; computes no fit."""
    from exapt.reporting import write_report
    from exapt.studies.runner import reread

    result = reread(Path(folder))
    write_report(result.folder, result.data)
    return result


def list_audits() -> dict[str, str]:
    """The audits and what each asks."""
    from exapt.audits import AUDITS

    return {kind: audit.asks for kind, audit in sorted(AUDITS.items())}


def audit(kind: str, run: Path | str, *, set: Sequence[str] = (), say: Say = lambda _: None) -> dict[str, Any]:
    """Audit a finished study; the finding is written into its folder and its report, and returned as plain data.

    `set` gives keys of the audit, such as `by=patient`. Raises `InputError` where the evidence does not suffice.
    """
    from exapt.reporting import write_report
    from exapt.studies.runner import audit_run

    spec = _audit_class(kind).parse(override({}, set), f"audit {kind}")
    finding, result = audit_run(Path(run), spec, say)
    write_report(result.folder, result.data)
    return finding


def self_test(kind: str, seed: int = 0) -> list[Trial]:
    """An audit's own error rates on planted failures and clean controls."""
    return _audit_class(kind).self_test(seed)


def check_audit(kind: str) -> None:
    """Refuse the name of an audit that there is not."""
    _audit_class(kind)


def _audit_class(kind: str) -> type[Audit]:
    from exapt.audits import AUDITS

    if kind not in AUDITS:
        raise InputError(f"{kind}: no such audit; {nearest(kind, AUDITS)}")
    return AUDITS[kind]


def doctor() -> dict[str, Any]:
    """What is installed, what each extra enables, and what this machine offers."""
    from exapt.studies.doctor import diagnosis

    return diagnosis()


def check_bar(require: str | None) -> None:
    """Refuse an unknown bar before any work is done."""
    if require is not None and require not in BARS:
        raise InputError(f"--require {require}; {nearest(require, BARS)}")


def meets(conclusion: Conclusion, bar: str) -> bool:
    """Whether a conclusion meets a bar: `helps`; `not-harms` (the interval lies above −margin); `equivalent`."""
    verdicts = {conclusion.verdict, *conclusion.overall.also}
    wanted = {
        "helps": {"HELPS"},
        "not-harms": {"HELPS", "EQUIVALENT", "NON-INFERIOR"},
        "equivalent": {"EQUIVALENT"},
    }
    return bool(verdicts & wanted[bar])


def _spec_of(
    checkpoint: Path | str,
    labelled: str | Source,
    label: str | Sequence[str] | None,
    column: str | None,
    group: str | None,
    task: str,
    budgets: list[int],
    seeds: int,
    assignments: Sequence[str],
) -> StudySpec:
    """The study of a checkpoint that command-line words describe."""
    from exapt.studies.spec import StudySpec
    from exapt.training.pretrained import read_facts

    if isinstance(label, list | tuple):
        label = label[0] if len(label) == 1 else list(label)
    source = _source(labelled, label=label, column=column, group=group)
    read_facts(Path(checkpoint).expanduser())  # anything but a checkpoint is refused before a folder is made
    name = f"prove-{re.sub('[^a-z0-9._-]+', '-', Path(checkpoint).resolve().name.lower())}"
    data: dict[str, Any] = {
        "name": name,
        "checkpoint": str(checkpoint),
        "labelled": source.plain(),
        "task": {"kind": task},
    }
    if task in ("detect", "potential", "contacts"):  # their heads have no probe to start from, or to be compared with
        data |= {"adapt": {"probe_first": False}, "arms": ["pretrained", "scratch"]}
    if group is not None:
        data["split"] = {"by": "group"}
    data |= {"budgets": budgets, "seeds": seeds}
    return StudySpec.parse(override(data, assignments), "the command's words")


def _readable(source: str | Source | Arrays, column: str | None, record: str | None) -> Source | Arrays:
    from exapt.domains.base import Arrays

    return source if isinstance(source, Arrays) else _source(source, column=column, record=record)


def _source(source: str | Source, **words: Any) -> Source:
    from exapt.domains.base import Source

    if isinstance(source, Source):
        return source
    if not isinstance(source, str | Path):
        raise InputError(
            f"{type(source).__name__}: labelled examples are read from a file, so that every worker can; "
            "save arrays with numpy.savez and give the path"
        )
    return Source.parse({"path": str(source)} | {k: v for k, v in words.items() if v is not None}, "source")
