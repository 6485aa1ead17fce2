"""The report as one HTML page, and the three files a run ends in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from exapt.files import jsonable, write_json, write_text
from exapt.reporting.blocks import Page, Table
from exapt.reporting.content import build
from exapt.reporting.markdown import markdown

if TYPE_CHECKING:
    from jinja2 import Environment

SENTENCE_END = re.compile(r"(?<=\.)\s+(?=(?:The|A|An) )")


def render(data: Mapping[str, Any]) -> tuple[str, str]:
    """The report's HTML (one page, no script, no request) and Markdown from its plain data."""
    page = build(jsonable(dict(data)))
    return html(page), markdown(page)


def write_report(folder: Path, data: Mapping[str, Any]) -> None:
    """Write report.html, report.md and report.json into a run's folder, each atomically."""
    page, text = render(data)
    write_json(Path(folder) / "report.json", data)
    write_text(Path(folder) / "report.md", text)
    write_text(Path(folder) / "report.html", page)


def html(page: Page) -> str:
    """One self-contained page; all text is escaped, and its policy forbids scripts and requests besides."""
    environment = _environment()
    lead, *rest = SENTENCE_END.split(page.sentence, maxsplit=1)
    claim, colon, figures = lead.partition(": ")
    style = Markup((files("exapt.reporting") / "style.css").read_text(encoding="utf-8"))
    template = environment.get_template("table.html.j2")

    def table(block: Table) -> Markup:
        return Markup(template.render(table=block))

    words: dict[str, Any] = {"page": page, "claim": claim + colon.strip(), "figures": figures, "rest": " ".join(rest)}
    words |= {"style": style, "table": table}
    return environment.get_template("page.html.j2").render(**words)


def tidy(text: str) -> str:
    """Numbers stay with their signs at a line's end: '90 %' and 'n = 5' do not break."""
    return text.replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0")


def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(loader=PackageLoader("exapt", "reporting"), autoescape=True, undefined=StrictUndefined)
    made.filters["tidy"] = tidy
    return made
