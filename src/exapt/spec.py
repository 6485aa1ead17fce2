"""Specs: frozen, typed descriptions that say the same words in YAML, on the command line and in Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self, get_args

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from exapt.errors import InputError, nearest


class Spec(BaseModel):
    """A frozen description. Unknown keys are refused with the nearest valid one."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, use_attribute_docstrings=True)
    later: ClassVar[tuple[str, ...]] = ()
    """Keys that plain data leaves out where they hold their default: they came later, and what was made before them
    keeps its hash."""

    @classmethod
    def parse(cls, data: Mapping[str, Any], where: str = "spec") -> Self:
        """Validate plain data; raises `InputError` naming the key, the value and what would be valid."""
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise InputError(explain(cls, error, where, data)) from None

    def plain(self) -> dict[str, Any]:
        """Plain JSON-able data, every default written out but those of `later` keys."""
        return self.model_dump(mode="json")

    @model_serializer(mode="wrap")
    def _without_later(self, plainly: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = plainly(self)
        usual = {key for key in self.later if getattr(self, key) == type(self).model_fields[key].default}
        return {key: value for key, value in plain.items() if key not in usual} if usual else plain

    def digest(self) -> str:
        """A short content hash of the resolved spec."""
        return digest(self.plain())


def digest(data: Any) -> str:
    """The first 16 hex digits of the SHA-256 of canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


SHAPES = {
    **dict.fromkeys(("model_type", "model_attributes_type", "dict_type"), "keys and values"),
    **dict.fromkeys(("tuple_type", "list_type"), "a list"),
}
"""What a value of another shape should have been, by pydantic's name of the mistake."""


def explain(model: type[BaseModel], error: ValidationError, where: str, data: Any) -> str:
    """One line for the first problem of a pydantic error, in the user's own words; `data` is what was validated."""
    problem = error.errors()[0]
    path, kind = [part for part in problem["loc"] if isinstance(part, str)], problem["type"]  # places in lists left out
    key = ".".join(_spoken(problem["loc"], data, kind))
    more = len(error.errors()) - 1
    also = f" (and {more} more)" if more else ""
    if kind == "extra_forbidden":
        return f"{where}: unknown key '{key}'; {nearest(path[-1], _owner(model, path[:-1]).model_fields)}"
    if kind == "missing":
        return f"{where}: {key} is missing{also}"
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return f"{where}: {key}.kind {_no_kind(_owner(model, path[:-1]), path, problem['input'])}{also}"
    if kind in SHAPES:
        return f"{where}: {key}: expected {SHAPES[kind]} (found {problem['input']!r:.80}){also}"
    if kind == "value_error":
        return f"{where}: {key and key + ': '}{problem['msg'].removeprefix('Value error, ')}{also}"
    return f"{where}: {key or 'value'}: {problem['msg']} (found {problem['input']!r:.80}){also}"


def _spoken(path: Sequence[int | str], data: Any, kind: str) -> list[str]:
    """The parts of an error's path that the user wrote; pydantic also names the members of unions it tried."""
    words = []
    for part in path:
        here = part in data if isinstance(data, Mapping) else isinstance(data, list | tuple) and _within(part, data)
        if here:
            data = data[part]
        if here or (kind == "missing" and part is path[-1]):
            words.append(str(part))
    return words


def _within(part: int | str, data: Sequence[Any]) -> bool:
    return isinstance(part, int) and part < len(data)


def _no_kind(owner: type[BaseModel], path: list[str], found: Any) -> str:
    """What to say of a description whose `kind` is missing or unknown."""
    field = owner.model_fields.get(path[-1])
    valid = [kind for m in members(field.annotation) if (kind := _kind(m))] if field else []
    said = found.get("kind") if isinstance(found, Mapping) else None
    return "is missing; " + nearest("", valid) if said is None else f"'{said}' is unknown; {nearest(str(said), valid)}"


def _owner(model: type[BaseModel], path: list[str]) -> type[BaseModel]:
    """The spec class that owns the last part of a path; union tags in the path select the member."""
    for place, part in enumerate(path):
        field = model.model_fields.get(part)
        found = members(field.annotation) if field else []
        tagged = [m for m in found if _kind(m) == part]
        if not field:
            continue
        if len(found) == 1:
            model = found[0]
        elif found:
            rest = path[place + 1 :]
            chosen = [m for m in found if rest and _kind(m) == rest[0]]
            model = (chosen or tagged or [model])[0]
    return model


def members(annotation: Any) -> list[type[BaseModel]]:
    """Every spec class that a field's annotation can hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for arg in get_args(annotation) for m in members(arg)]


def _kind(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    return field.default if field else None
