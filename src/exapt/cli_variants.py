"""The command that scores mutants of a protein."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from exapt.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command()(variants)


def variants(
    checkpoint: Annotated[Path, typer.Argument(help="A masked checkpoint over proteins, or an ESM-2 folder.")],
    table: Annotated[str, typer.Argument(help="A csv, tsv, jsonl or parquet with a column of mutants: A24G:K30R.")],
    wild_type: Annotated[str, typer.Option("--wild-type", help="FASTA with one record, or the sequence itself.")],
    out: Annotated[Path | None, typer.Option("--out", help="csv, npz or parquet to write the scores into.")] = None,
    column: Annotated[str | None, typer.Option(help="Column with the mutants; default: mutant.")] = None,
    label: Annotated[str | None, typer.Option(help="Column with the measured effect: ranks are compared.")] = None,
    beside: Annotated[str, typer.Option(help="Columns with other scores to compare, comma-separated.")] = "",
    offset: Annotated[int, typer.Option(help="What to take off the numbers of mutants to count from 1.")] = 0,
    how: Annotated[
        str, typer.Option(help="masked-marginals, wild-type-marginals, pseudo-likelihood; comma-separated.")
    ] = "masked-marginals",
    labels: Annotated[str, typer.Option(help="Numbers of measured mutants to learn from, comma-separated.")] = "",
    seeds: Annotated[int, typer.Option(help="Draws of the measured mutants.")] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")] = False,
) -> None:
    """Score mutants of a protein: how much likelier a masked network finds them than the wild type."""
    from exapt import sentences, verbs
    from exapt.files import jsonable

    found = verbs.variants(
        checkpoint,
        table,
        wild_type=wild_type,
        out=out,
        column=column,
        label=label,
        beside=_words(beside),
        offset=offset,
        how=_words(how),
        labels=_numbers(labels),
        seeds=seeds,
    )
    plain: Any = jsonable(found)
    typer.echo(json.dumps(plain, ensure_ascii=False) if as_json else sentences.sentence_of_variants(found))


def _words(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in _words(text)]
    except ValueError:
        raise InputError(f"--labels {text}: expected whole numbers, for example 24,96,384") from None
