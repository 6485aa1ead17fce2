"""The command `generate`: new texts, sequences and molecules, with constraints, filters and judges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command("generate")(generate)


def generate(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's folder (it holds exapt.json).")],
    out: Annotated[
        Path,
        typer.Option("--out", help=".smi, .sdf, .csv for molecules; .fasta, .txt, .csv for sequences."),
    ],
    count: Annotated[int, typer.Option(help="How many to write.")] = 1000,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Draw among the likeliest that reach this probability.")] = 1.0,
    seed: int = 0,
    max_atoms: Annotated[int | None, typer.Option(help="Molecules: the most atoms besides hydrogen.")] = None,
    start: Annotated[str, typer.Option(help="Every text begins so.")] = "",
    template: Annotated[str | None, typer.Option(help="A sequence, or a file of them, to write anew.")] = None,
    fixed: Annotated[str, typer.Option(help="Places of the template that stay, from 1: 1-10,25,40-.")] = "",
    length: Annotated[str, typer.Option(help="Tokens to write: 80, or 60-120.")] = "",
    avoid: Annotated[list[str] | None, typer.Option(help="A letter or run of letters not to write.")] = None,
    sweeps: Annotated[int, typer.Option(help="Masked checkpoints: Gibbs sweeps over the free places.")] = 10,
    block: Annotated[float, typer.Option(help="Masked checkpoints: the share of free places drawn at once.")] = 0.1,
    distinct: Annotated[bool, typer.Option("--distinct", help="Nothing twice, and not the template.")] = False,
    min_score: Annotated[float | None, typer.Option(help="The least mean log-likelihood of a token, in nats.")] = None,
    min_identity: Annotated[float | None, typer.Option(help="The least identity to the template, 0 to 1.")] = None,
    max_identity: Annotated[float | None, typer.Option(help="The most identity to the template, 0 to 1.")] = None,
    max_known: Annotated[float | None, typer.Option(help="The most identity to the nearest of the corpus.")] = None,
    min_complexity: Annotated[float | None, typer.Option(help="The least entropy of 12 letters, in bits.")] = None,
    max_pair: Annotated[float | None, typer.Option(help="The most identity of two that are kept.")] = None,
    judge: Annotated[list[str] | None, typer.Option(help="A family, or measurements with --judge-label.")] = None,
    judge_label: Annotated[str | None, typer.Option(help="The column of measurements in the judge's file.")] = None,
    score: Annotated[bool, typer.Option("--score/--no-score", help="Likelihood of each sequence.")] = True,
    against: Annotated[str | None, typer.Option(help="The corpus that novelty is measured against.")] = None,
    page: Annotated[Path | None, typer.Option(metavar="PAGE.html", help="Write a page with the figures.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")] = False,
) -> None:
    """Write new texts, sequences or molecules; molecules end valid.

    Autoregressive checkpoints write from left to right, masked ones by Gibbs sampling.
    """
    from exapt import sentences, verbs
    from exapt.files import jsonable
    from exapt.studies.constraints import Constraints
    from exapt.studies.filters import Filters
    from exapt.studies.generating_sequences import Wishes

    constraints = Constraints(start, template, fixed, length, tuple(avoid or ()))
    filters = Filters(distinct, min_score, min_identity, max_identity, max_known, min_complexity, max_pair)
    wishes = Wishes(constraints, filters, tuple(judge or ()), judge_label, sweeps, block, score)
    found = verbs.generate(
        checkpoint,
        out,
        count=count,
        temperature=temperature,
        top_p=top_p,
        seed=seed,
        max_atoms=max_atoms,
        against=against,
        page=page,
        wishes=wishes,
        say=(lambda _: None) if as_json else (lambda words: typer.echo(words, err=True)),
    )
    typer.echo(json.dumps(jsonable(found)) if as_json else sentences.sentence_of_generated(found))
