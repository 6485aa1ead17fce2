"""Reading studies: from the catalogue or a YAML file, with `key=value` overrides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from exapt.errors import InputError, nearest

if TYPE_CHECKING:
    from exapt.studies.spec import StudySpec

REQUIRED = "REQUIRED"
"""The path a shipped study leaves to the user."""


class Loader(yaml.SafeLoader):
    """YAML 1.2's booleans: only true and false. In 1.1 the key `on` and a class named `no` are booleans as well."""


Loader.yaml_implicit_resolvers = {
    letter: [(tag, words) for tag, words in found if tag != "tag:yaml.org,2002:bool" or letter in "tTfF"]
    for letter, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def catalogue() -> dict[str, str]:
    """The YAML text of every shipped study by name."""
    folder = files("exapt.studies") / "catalogue"
    return {p.name.removesuffix(".yaml"): p.read_text("utf-8") for p in folder.iterdir() if p.name.endswith(".yaml")}


def read_study(name: str | Path, overrides: Iterable[str] = ()) -> StudySpec:
    """A study by catalogue name or YAML path, with overrides `a.b=c`; anything wrong is one line."""
    from exapt.studies.spec import StudySpec  # not above: naming the shipped studies needs no torch

    data, where = read_yaml(name)
    spec = StudySpec.parse(override(data, overrides), where)
    _check_needs(spec)
    return spec


def read_yaml(name: str | Path) -> tuple[dict[str, Any], str]:
    """The plain data of a study, and the words to name it by."""
    shipped = catalogue()
    if str(name) in shipped:
        return parse_yaml(shipped[str(name)], f"study {name}"), f"study {name}"
    path = Path(name)
    if not path.is_file():
        raise InputError(f"{name}: no such study or file; {nearest(str(name), shipped)}")
    try:
        return parse_yaml(path.read_text("utf-8"), str(path)), str(path)
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file; expected a study in YAML") from None


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping; a syntax error is one line with its place."""
    try:
        data = yaml.load(text, Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{where}{line}: not valid YAML ({getattr(error, 'problem', error)})") from None
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected keys and values, found {type(data).__name__}")
    return data


def override(data: Mapping[str, Any], assignments: Iterable[str]) -> dict[str, Any]:
    """A copy of nested data with `a.b=value` assignments applied; values are read as YAML."""
    result = _copy(data)
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {assignment}: expected key=value, for example --set pretrain.lr=0.001")
        try:
            parsed = yaml.load(value, Loader)
        except yaml.YAMLError:
            parsed = value
        _assign(result, key.strip().split("."), parsed, assignment)
    return result


def _copy(data: Any) -> Any:
    if isinstance(data, list):
        return [_copy(value) for value in data]
    return {k: _copy(v) for k, v in data.items()} if isinstance(data, Mapping) else data


def _assign(data: dict[str, Any], path: list[str], value: Any, assignment: str) -> None:
    first, *rest = path
    if not rest:
        data[first] = value
        return
    inner = data.setdefault(first, {})
    if inner is None:
        inner = data[first] = {}
    if isinstance(inner, list):
        rest, inner = _item(inner, rest, value, assignment)
    elif not isinstance(inner, dict):
        raise InputError(f"--set {assignment}: '{first}' holds {inner!r}, not keys and values")
    if rest:
        _assign(inner, rest, value, assignment)


def _item(items: list[Any], path: list[str], value: Any, assignment: str) -> tuple[list[str], Any]:
    """The item of a list that a number names, counted from 0, and the rest of the path; set where that is all."""
    number, *rest = path
    if not number.isdecimal() or int(number) >= len(items):
        raise InputError(f"--set {assignment}: '{number}' names no item of a list of {len(items)}; counted from 0")
    if not rest:
        items[int(number)] = value
    elif not isinstance(items[int(number)], dict):
        raise InputError(f"--set {assignment}: item {number} is {items[int(number)]!r}, not keys and values")
    return rest, items[int(number)]


def _check_needs(spec: StudySpec) -> None:
    for key, what in spec.needs.items():
        value: Any = spec.plain()
        for part in key.split("."):
            items = dict(enumerate(value)) if isinstance(value, list) else {}
            value = value.get(part) if isinstance(value, dict) else items.get(int(part)) if part.isdecimal() else None
        if value == REQUIRED:
            raise InputError(f"study {spec.name}: {key} is not set. It needs {what}. Run it with --set {key}=YOUR_FILE")
