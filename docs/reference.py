"""Writes docs/study-reference.md from the specs themselves, so that it cannot go stale."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from exapt.files import jsonable
from exapt.spec import members
from exapt.studies.spec import StudySpec

PAGE = Path(__file__).with_name("study-reference.md")
HEAD = """# Every key of a study

Generated from the specs by `python docs/reference.py`. The same words work in YAML, in `--set key=value` and in Python.
An unknown key is refused with the nearest valid one. `exapt schema --out study.schema.json` writes a JSON Schema, with
which editors complete and check a study.

`null` means: not given. Where a key takes one of several kinds, say which with `kind`.
"""
LONG = 8
"""Lists longer than this are shown by their ends."""


def main() -> None:
    """Write the page."""
    PAGE.write_text(document(), "utf-8")


def document() -> str:
    """The study's spec and every spec it can hold, one section each."""
    todo: list[type[BaseModel]] = [StudySpec]
    done: list[type[BaseModel]] = []
    parts = [HEAD]
    while todo:
        spec = todo.pop(0)
        if spec in done:
            continue
        done.append(spec)
        parts.append(section(spec))
        todo += [m for field in spec.model_fields.values() for m in members(field.annotation)]
    return "\n".join(parts)


def section(spec: type[BaseModel]) -> str:
    """One spec as a table."""
    kind = kind_of(spec)
    title = f"## {spec.__name__}" + (f" (`kind: {kind}`)" if kind else "")
    fields = {name: field for name, field in spec.model_fields.items() if not (kind and name == "kind")}
    rows = [f"| `{name}` | {default(field)} | {meaning(field)} |" for name, field in fields.items()]
    table = ["| key | default | meaning |", "| --- | --- | --- |", *rows] if rows else ["No keys of its own."]
    return "\n".join([title, "", words(spec.__doc__), "", *table, ""])


def kind_of(spec: type[BaseModel]) -> str | None:
    """The word that tells a spec from others in its place; None where `kind` is a choice like any other."""
    field = spec.model_fields.get("kind")
    options = get_args(field.annotation) if field else ()
    return str(options[0]) if len(options) == 1 else None


def default(field: Any) -> str:
    """A field's default as YAML, or that it is required."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    if not isinstance(value, BaseModel):
        return f"`{in_yaml(value)}`"
    plain = {name: getattr(value, name) for name in value.model_fields_set}
    kind = kind_of(type(value)) if len(members(field.annotation)) > 1 else None
    given = ({"kind": kind} if kind else {}) | plain
    return f"`{in_yaml(given)}`" if given else "as listed there"


def in_yaml(value: Any) -> str:
    """A value in one line of YAML."""
    plain = jsonable(given(value))
    if isinstance(plain, list) and len(plain) > LONG:
        return f"[{plain[0]}, {plain[1]}, …, {plain[-1]}] ({len(plain)} values)"
    return yaml.safe_dump(plain, default_flow_style=True, allow_unicode=True, width=1000).removesuffix("...\n").strip()


def given(value: Any) -> Any:
    """A value with every spec in it as the keys that were set."""
    if isinstance(value, BaseModel):
        return {name: given(getattr(value, name)) for name in sorted(value.model_fields_set)}
    if isinstance(value, dict):
        return {key: given(part) for key, part in value.items()}
    return [given(part) for part in value] if isinstance(value, list | tuple) else value


def meaning(field: Any) -> str:
    """What a key means, the words it takes, and the sections of the specs it holds."""
    parts = [words(field.description)]
    options = choices(field.annotation)
    if options:
        parts.append("One of " + ", ".join(f"`{in_yaml(option)}`" for option in options) + ".")
    inner = members(field.annotation)
    if inner:
        parts.append("See " + ", ".join(f"[{m.__name__}](#{anchor(m)})" for m in inner) + ".")
    return " ".join(part for part in parts if part)


def choices(annotation: Any) -> list[Any]:
    """The options of a literal, wherever it stands in the annotation; none for a list of specs."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [] if members(annotation) else [option for part in get_args(annotation) for option in choices(part)]


def anchor(spec: type[BaseModel]) -> str:
    """The address mkdocs gives a section."""
    kind = kind_of(spec)
    return spec.__name__.lower() + (f"-kind-{kind}" if kind else "")


def words(text: str | None) -> str:
    """One line, safe in a table."""
    return " ".join((text or "").split()).replace("|", "\\|")


if __name__ == "__main__":
    main()
