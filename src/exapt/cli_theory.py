"""The commands `prior` and `signal`: what theory says of pre-training, worked out and checked by simulation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from exapt.evidence.finding import Finding

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of words.")]
Out = Annotated[Path | None, typer.Option("--out", metavar="PAGE.html", help="Write a page with the figures.")]
Seed = Annotated[int, typer.Option(help="Of the simulation.")]
Noise = Annotated[float, typer.Option(help="Standard deviation σ of the noise.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command("prior")(prior)
    app.command("signal")(signal)


def prior(
    dimension: Annotated[int, typer.Option(min=1, help="Parameters p.")] = 50,
    labels: Annotated[int, typer.Option(min=1, help="Labels n.")] = 40,
    noise: Noise = 1.0,
    distance: Annotated[float, typer.Option(help="From the start to the truth, D.")] = 0.5,
    scratch_distance: Annotated[float, typer.Option(help="From zero to the truth, D₀.")] = 2.0,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What a pre-trained start is worth as a prior: bias, variance, the best precision, and the labels it saves."""
    from exapt.evidence.prior_finding import PriorProblem, prior_finding

    problem = PriorProblem(dimension, labels, noise, distance, scratch_distance, seed)
    _end("A start as a prior", prior_finding(problem), out, as_json)


def signal(
    strong: Annotated[float, typer.Option(help="Strength a of the better representation.")] = 1.0,
    weak: Annotated[float, typer.Option(help="Strength a of the other one.")] = 0.6,
    noise: Noise = 0.52,
    labels: Annotated[int, typer.Option(min=1, help="Labels m to compare at.")] = 10,
    target: Annotated[float, typer.Option(help="Accuracy to reach.")] = 0.95,
    rule: Annotated[str, typer.Option(help="nearest, centroid or known-zero.")] = "nearest",
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """How many labels a strong and a weak signal need: accuracy against labels, exact and simulated."""
    from exapt.evidence.signal_finding import SignalProblem, signal_finding

    problem = SignalProblem(strong, weak, noise, labels, target, rule, seed)  # type: ignore[arg-type]
    _end("Strength of a signal", signal_finding(problem), out, as_json)


def _end(title: str, finding: Finding, out: Path | None, as_json: bool) -> None:
    """Write the page if one is wanted, and say the outcome."""
    plain = finding.plain()
    words = f"{finding.verdict}. {finding.sentence}"
    if out is not None:
        write_page(title, plain, out)
        words += f"\n{out}"
    typer.echo(json.dumps(plain, ensure_ascii=False) if as_json else words)


def write_page(title: str, finding: dict[str, Any], out: Path) -> None:
    """One finding as a report: page, and beside it the same numbers as Markdown and JSON."""
    from exapt.files import write_json, write_text
    from exapt.reporting import render

    data = {
        "title": title,
        "verdict": {"sentence": finding["sentence"], "verdict": finding["verdict"]},
        "audits": [finding],
    }
    page, text = render(data)
    write_text(
        out,
        page.replace("report.md", out.with_suffix(".md").name).replace("report.json", out.with_suffix(".json").name),
    )
    write_text(out.with_suffix(".md"), text)
    write_json(out.with_suffix(".json"), data)
