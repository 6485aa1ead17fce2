"""The command line. Heavy imports wait inside the commands, so that `exapt --help` answers at once."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from exapt import __version__, cli_generate, cli_theory, cli_variants, sentences
from exapt.errors import DivergenceError, InputError

DONE, MISTAKE, BAR_NOT_MET, INTERRUPTED = 0, 1, 2, 130

MISUSE: type[Exception] = typer.BadParameter.__mro__[1]
"""The parser's own error for words it does not know; typer carries it under names that change between versions."""

app = typer.Typer(
    name="exapt",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
cli_theory.register(app)
cli_generate.register(app)
cli_variants.register(app)

Study = Annotated[str, typer.Argument(help="A shipped study's name (see `exapt list`) or a YAML file.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. pretrain.lr=0.001.")
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder to write into.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")]
Checkpoint = Annotated[Path, typer.Argument(help="A checkpoint's folder (it holds exapt.json).")]
Labelled = Annotated[str, typer.Argument(help="The labelled examples: a file, a folder, or hf:owner/name.")]
Label = Annotated[list[str] | None, typer.Option("--label", help="Column(s) with the label.")]
Column = Annotated[str | None, typer.Option("--column", help="Column with the text, sequence or picture.")]
Record = Annotated[
    str | None, typer.Option("--record", help="What one example of a .txt file is: file, line or paragraph.")
]
Group = Annotated[str | None, typer.Option("--group", help="Column whose equal values stay on one side of a split.")]
Kind = Annotated[str, typer.Option("--task", help="classify, regress, tag, detect, potential or contacts.")]
Workers = Annotated[
    int | None, typer.Option("--workers", min=1, help="Processes that fit side by side; default: one a core.")
]
Budget = Annotated[int | None, typer.Option(min=1, help="Use so many labels; default: all but the test part.")]
Require = Annotated[str | None, typer.Option(help="Exit with 2 unless the verdict is: helps, not-harms or equivalent.")]


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"exapt {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show where an error came from. It may stand anywhere.")
    ] = False,
) -> None:
    """Pre-training that proves itself: pre-train, adapt, and prove against a matched control that it helped.

    Exit codes: 0 done; 1 a mistake, told in one line; 2 the verdict does not meet `--require`.
    """


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the shipped studies."""
    from exapt import verbs

    studies = verbs.list_studies()
    lines = [f"{name:<22}{about}" for name, about in studies.items()]
    _print(studies, as_json, "\n".join(lines))


@app.command()
def show(name: Study, as_json: Json = False) -> None:
    """Print a study's YAML, to copy and change."""
    from exapt import verbs

    text = verbs.show(name)
    _print({"name": name, "yaml": text}, as_json, text.rstrip())


@app.command()
def run(
    study: Study,
    out: Out = None,
    set_: Set = None,
    workers: Workers = None,
    require: Require = None,
    as_json: Json = False,
) -> None:
    """Run a whole study: pre-train, adapt every arm, and report whether pre-training helped."""
    from exapt import verbs

    verbs.check_bar(require)
    result = verbs.run(study, out=out, set=set_ or (), workers=workers, say=_say(as_json), progress=not as_json)
    _study(result, as_json, require)


@app.command()
def pretrain(
    study: Study,
    out: Out = None,
    set_: Set = None,
    fresh: Annotated[bool, typer.Option(help="Start anew.")] = False,
    begin: Annotated[Path | None, typer.Option(help="A checkpoint whose weights and domain it goes on from.")] = None,
    as_json: Json = False,
) -> None:
    """Pre-train only, as a study describes it (keys domain, corpus, backbone, objective, pretrain)."""
    from exapt import verbs

    done = verbs.pretrain(study, out=out, set=set_ or (), fresh=fresh, begin=begin, progress=not as_json)
    _print(done.summary(), as_json, done.sentence())


@app.command()
def adapt(
    checkpoint: Checkpoint,
    labelled: Labelled,
    out: Annotated[Path, typer.Option("--out", help="Folder for the fitted model.")],
    label: Label = None,
    column: Column = None,
    group: Group = None,
    task: Kind = "classify",
    budget: Budget = None,
    seed: int = 0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Adapt a checkpoint to a labelled task and keep the fitted model for `predict`."""
    from exapt import verbs

    record = verbs.adapt(
        checkpoint,
        labelled,
        out=out,
        label=label,
        column=column,
        group=group,
        task=task,
        budget=budget,
        seed=seed,
        set=set_ or (),
    )
    _print(record, as_json, sentences.sentence_of_fit(record))


@app.command()
def probe(
    checkpoint: Checkpoint,
    labelled: Labelled,
    label: Label = None,
    column: Column = None,
    group: Group = None,
    task: Kind = "classify",
    budget: Budget = None,
    seed: int = 0,
    set_: Set = None,
    as_json: Json = False,
) -> None:
    """Linear and kNN probe of the frozen features, beside the same probes of a random network."""
    from exapt import verbs

    table = verbs.probe(
        checkpoint,
        labelled,
        label=label,
        column=column,
        group=group,
        task=task,
        budget=budget,
        seed=seed,
        set=set_ or (),
    )
    _print({"probes": table}, as_json, sentences.table_of_probes(table))


@app.command()
def prove(
    checkpoint: Checkpoint,
    labelled: Labelled,
    out: Out = None,
    label: Label = None,
    column: Column = None,
    group: Group = None,
    task: Kind = "classify",
    budgets: Annotated[str, typer.Option(help="Label budgets, comma-separated.")] = "32,64,128,256",
    seeds: int = 5,
    set_: Set = None,
    workers: Workers = None,
    require: Require = None,
    as_json: Json = False,
) -> None:
    """Prove a checkpoint you already have against training from scratch on your labelled task."""
    from exapt import verbs

    verbs.check_bar(require)
    result = verbs.prove(
        checkpoint,
        labelled,
        out=out,
        label=label,
        column=column,
        group=group,
        task=task,
        budgets=_numbers(budgets),
        seeds=seeds,
        set=set_ or (),
        workers=workers,
        say=_say(as_json),
        progress=not as_json,
    )
    _study(result, as_json, require)


@app.command()
def predict(
    fitted: Annotated[Path, typer.Argument(help="A fitted model's folder (from `adapt`).")],
    source: Annotated[str, typer.Argument(help="New examples: a file or folder.")],
    out: Annotated[
        Path,
        typer.Option("--out", help="csv, npz, parquet; boxes: jsonl, json; potentials: extxyz, jsonl; genomes: bed…"),
    ],
    column: Column = None,
    record: Record = None,
    window: Annotated[int | None, typer.Option(help="Genomes: bases of a window.")] = None,
    stride: Annotated[int | None, typer.Option(help="Genomes: bases from window to window; 10.")] = None,
    strand: Annotated[str | None, typer.Option(help="Genomes: both, plus or minus.")] = None,
    at: Annotated[int | None, typer.Option(help="Genomes: place in a window that its value belongs to.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Genomes, .bed: least probability; 0.5.")] = None,
    label: Annotated[str | None, typer.Option(help="Genomes: the class; the last one.")] = None,
    as_json: Json = False,
) -> None:
    """Predict new examples with a fitted model; a genome (FASTA) is scanned into .bed or .bedgraph."""
    from exapt import verbs

    scan = {"window": window, "stride": stride, "strand": strand, "at": at, "threshold": threshold, "label": label}
    given = {key: value for key, value in scan.items() if value is not None}
    rows = verbs.predict(fitted, source, out=out, column=column, record=record, say=_say(as_json), **given)
    hint = verbs.undivided(fitted, source, record)
    _print({"rows": rows, "out": str(out)}, as_json, f"{rows} predictions in {out}{hint}")


@app.command()
def embed(
    checkpoint: Checkpoint,
    source: Annotated[str, typer.Argument(help="Examples: a file or folder.")],
    out: Annotated[Path, typer.Option("--out", help="csv, npz or parquet to write.")],
    column: Column = None,
    record: Record = None,
    pooling: Annotated[str, typer.Option(help="mean, max, mean+max, first, last or bins.")] = "mean",
    as_json: Json = False,
) -> None:
    """Write the frozen features of examples."""
    from exapt import verbs

    shape = verbs.embed(checkpoint, source, out=out, column=column, record=record, pooling=pooling)
    hint = verbs.undivided(checkpoint, source, record)
    _print(
        {"rows": shape[0], "width": shape[1], "out": str(out)},
        as_json,
        f"{shape[0]} rows of {shape[1]} features in {out}{hint}",
    )


@app.command()
def export(
    checkpoint: Checkpoint,
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    to: Annotated[str, typer.Option(help="huggingface.")] = "huggingface",
    as_json: Json = False,
) -> None:
    """Export a checkpoint to a folder that Hugging Face's AutoModel opens."""
    from exapt import verbs

    verbs.export(checkpoint, out, to=to)
    _print({"out": str(out)}, as_json, f"exported to {out}")


@app.command()
def shrink(
    folder: Annotated[Path, typer.Argument(help="A checkpoint's or a fitted model's folder.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the smaller one.")],
    share: Annotated[float, typer.Option(help="Share of each layer's neurons to take out.")] = 0.5,
    heads: Annotated[bool, typer.Option("--heads", help="Take out the same share of attention heads too.")] = False,
    as_json: Json = False,
) -> None:
    """Write a smaller network out of a whole one, without its least important neurons."""
    from exapt import verbs

    sizes = verbs.shrink(folder, out, share=share, heads=heads)
    lines = [f"{name:<12}{before:>14,} to {after:,}" for name, (before, after) in sizes.items()]
    _print({"out": str(out)} | sizes, as_json, "\n".join([*lines, str(out)]))


@app.command()
def report(run_folder: Annotated[Path, typer.Argument(help="A run's folder.")], as_json: Json = False) -> None:
    """Write a run's report anew from what is on disk, and print its first sentence."""
    from exapt import verbs

    result = verbs.report(run_folder)
    _study(result, as_json, None)


@app.command()
def audit(
    name: Annotated[str | None, typer.Argument(help="Which audit; without it, all are listed.")] = None,
    run_folder: Annotated[Path | None, typer.Argument(help="A finished study's folder.")] = None,
    set_: Set = None,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Try the audit on planted failures and clean controls instead.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the self-test's planted cases.")] = 0,
    as_json: Json = False,
) -> None:
    """Ask one question of a finished study: what pre-training may have harmed. The finding goes into its report.

    Exit code 2 when a self-test fails.
    """
    from exapt import verbs

    if name is None:
        audits = verbs.list_audits()
        _print(audits, as_json, "\n".join(f"{kind:<16}{asks}" for kind, asks in audits.items()))
    elif self_test:
        _trials(verbs.self_test(name, seed), as_json)
    elif run_folder is None:
        verbs.check_audit(name)
        raise InputError(f"audit {name}: which study? Give the folder that `exapt run` wrote, or --self-test")
    else:
        finding = verbs.audit(name, run_folder, set=set_ or (), say=_say(as_json))
        _print(finding, as_json, f"{sentences.sentence_of_finding(finding)}\n{run_folder / 'report.html'}")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is installed, what each extra enables, and what this machine offers."""
    from exapt import verbs

    facts = verbs.doctor()
    _print(facts, as_json, sentences.sentences_of_doctor(facts))


@app.command()
def schema(
    out: Annotated[Path | None, typer.Option("--out", help="File to write; default: print.")] = None,
    as_json: Json = False,
) -> None:
    """Print the JSON Schema of a study, for editors; `--json` puts it on one line."""
    from exapt import verbs

    found = verbs.schema()
    text = json.dumps(found, indent=1)
    if out is None:
        _print(found, as_json, text)
    else:
        from exapt.files import write_text

        write_text(out, text + "\n")
        _print({"out": str(out)}, as_json, f"schema in {out}")


def _study(result: Any, as_json: bool, require: str | None) -> None:
    from exapt import verbs

    page = result.folder / "report.html"
    plain = {
        "verdict": result.verdict,
        "sentence": result.sentence,
        "report": str(page),
        "fits_computed": result.computed,
    }
    pairs = [pair.sentence for pair in result.conclusion.pairs]
    _print(plain | {"pairs": pairs}, as_json, "\n".join([result.sentence, *pairs, str(page)]))
    if require and not verbs.meets(result.conclusion, require):
        raise typer.Exit(BAR_NOT_MET)


def _trials(trials: Sequence[Any], as_json: bool) -> None:

    plain = [vars(trial) | {"passed": trial.passed} for trial in trials]
    _print({"trials": plain}, as_json, sentences.table_of_trials(trials))
    if not all(trial.passed for trial in trials):
        raise typer.Exit(BAR_NOT_MET)


def _print(data: Any, as_json: bool, words: str) -> None:
    from exapt.files import jsonable

    typer.echo(json.dumps(jsonable(data), ensure_ascii=False) if as_json else words)


def _say(quiet: bool) -> Any:
    return (lambda _: None) if quiet else (lambda words: typer.echo(words, err=True))


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise InputError(f"--budgets {text}: expected whole numbers, for example 32,64,128") from None


def main(words: Sequence[str] | None = None) -> None:
    """Entry point: a user's mistake is one line on the standard error and exit code 1; `--debug` shows where."""
    given = list(sys.argv[1:] if words is None else words)
    debug = "--debug" in given
    if not debug:
        warnings.formatwarning = lambda message, *_args, **_keys: f"warning: {message}\n"
    sys.exit(_run([word for word in given if word != "--debug"] or ["--help"], debug))


def _run(words: list[str], debug: bool) -> int:
    try:
        code: int | None = app(args=words, prog_name="exapt", standalone_mode=False)
    except (InputError, DivergenceError, MISUSE) as error:
        if debug:
            raise
        return _fail(_one_line(error), MISTAKE)
    except OSError as error:
        if debug:
            raise
        return _fail(f"{error.filename or 'a file'}: {error.strerror or error}; what is finished is kept", MISTAKE)
    except KeyboardInterrupt:
        code = INTERRUPTED
    if code == INTERRUPTED:
        return _fail("interrupted; what is finished is kept, and the same command goes on from there", code)
    return code or DONE


def _one_line(error: Exception) -> str:
    """The words of an error; of a misuse the parser's, and where to read on."""
    context = getattr(error, "ctx", None)
    words = " ".join(error.format_message().split()) if hasattr(error, "format_message") else str(error)
    return f"{words} (see `{context.command_path} --help`)" if context else words


def _fail(words: str, code: int) -> int:
    typer.echo(f"exapt: {words}", err=True)
    return code
