"""The report as Markdown: the same blocks, the same numbers, without the drawings."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exapt.reporting.blocks import Block, Cell, Facts, Figure, Items, Page, Ruled, Section, Table, Text

SPECIAL = re.compile(r"([\\`*_{}\[\]<>|#~&!])")
LIST = re.compile(r"^(\d*)([.)+-])(?=\s|$)")


def markdown(page: Page) -> str:
    """GitHub-flavoured Markdown; text from users' data is escaped, HTML in it included."""
    parts = [f"# {clean(page.title)}", f"**{clean(page.verdict)}.** {clean(page.sentence)}"]
    if page.key:
        parts.append(_table(["", "", ""], [[Cell(part) for part in line] for line in page.key]))
    if page.notes:
        parts.append(_items(page.notes))
    if page.about:
        parts.append(clean(page.about))
    parts += [_section(section) for section in page.sections]
    return "\n\n".join(parts) + "\n"


def clean(text: str) -> str:
    """Text on one line with every character that Markdown or HTML would read as its own escaped."""
    return LIST.sub(r"\1\\\2", SPECIAL.sub(r"\\\1", " ".join(str(text).split())))


def _section(section: Section) -> str:
    blocks = [_block(block) for block in section.blocks]
    return "\n\n".join([f"## {clean(section.title)}", *(block for block in blocks if block)])


def _block(block: Block) -> str:
    match block:
        case Text(text):
            return clean(text)
        case Ruled(verdict, sentence):
            return f"**{clean(verdict)}.** {clean(sentence)}"
        case Items(items):
            return _items(items)
        case Facts(pairs):
            return _table(["", ""], [[Cell(name), Cell(value)] for name, value in pairs])
        case Table(head, rows, caption):
            table = _table(head, rows)
            return f"{clean(caption)}\n\n{table}" if caption else table
        case Figure():
            return ""


def _items(items: Sequence[str]) -> str:
    return "\n".join(f"- {clean(item)}" for item in items)


def _table(head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    names = [clean(name) for name in head]
    lines = [f"| {' | '.join(names)} |", f"|{' --- |' * len(names)}"]
    lines += [f"| {' | '.join(_cell(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def _cell(cell: Cell) -> str:
    text = clean(cell.words)
    return f"[{text}]({cell.safe_link})" if cell.safe_link else text
