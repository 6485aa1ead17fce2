"""Dimensionless groups: products and sums of measured columns, whose units must cancel."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from exapt.domains.pieces import Piece
from exapt.errors import InputError, nearest

HEADER = re.compile(r"^(?P<name>.*?)\s*\[(?P<unit>[^\]]*)\]$")
"""`velocity [m/s]`."""
OPERATIONS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}
"""All that a formula may do."""


class Groups:
    """Formulas by name. Raises `InputError` for one that is no formula."""

    def __init__(self, formulas: Mapping[str, str], units: Mapping[str, str]) -> None:
        self.formulas = {name: parsed(name, text) for name, text in formulas.items()}
        self.units = units

    def of(self, name: str, piece: Piece, values: Callable[[str], np.ndarray]) -> np.ndarray:
        """(n,) a group's values; `values` gives the numbers of a column. Raises `InputError` for units that are not
        given, are none, or do not cancel."""
        registry = _pint()
        there = {plain_name(column): column for column in piece.columns}
        quantities = {}
        for word in names(self.formulas[name]):
            if word not in there:
                raise InputError(f"{piece.file}: no column '{word}', which groups.{name} needs; {nearest(word, there)}")
            unit = self._unit(word, there[word], piece.file)
            try:
                quantities[word] = registry.Quantity(values(there[word]), unit)
            except Exception:  # pint raises many unrelated kinds; each means that it is no unit
                raise InputError(
                    f"domain.units: '{unit}' of column '{word}' is no unit; valid: such as m/s, W/m^2, 1"
                ) from None
        try:
            found = evaluate(self.formulas[name], quantities)
            return np.asarray(registry.Quantity(found).to("dimensionless").magnitude, dtype=np.float64)
        except registry.DimensionalityError as error:
            raise InputError(f"{piece.file}: groups.{name}: its units must cancel, and do not ({error})") from None

    def _unit(self, word: str, column: str, file: str) -> str:
        found = HEADER.match(column)
        unit = self.units.get(word) or (found["unit"] if found else None)
        if unit is None:
            raise InputError(f"{file}: the unit of column '{word}' is not given; say it in domain.units, 1 for none")
        return "dimensionless" if unit.strip() == "1" else unit


def plain_name(column: str) -> str:
    """A column's name without the unit that its header says."""
    found = HEADER.match(column)
    return found["name"] if found else column


def parsed(name: str, text: str) -> ast.expr:
    """A formula of columns, numbers, + - * / ** and brackets, and nothing else."""
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        raise InputError(
            f"domain.groups.{name}: '{text}' is no formula; valid: columns, numbers, + - * / ** ( )"
        ) from None
    for node in ast.walk(tree):
        number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
        plain = isinstance(node, ast.BinOp | ast.UnaryOp | ast.Name | ast.Load) or type(node) in OPERATIONS
        if not (number or plain):
            raise InputError(f"domain.groups.{name}: '{text}' may hold columns, numbers, + - * / ** and brackets only")
    return tree


def names(tree: ast.expr) -> list[str]:
    """The columns of a formula, each once."""
    return list(dict.fromkeys(node.id for node in ast.walk(tree) if isinstance(node, ast.Name)))


def evaluate(tree: ast.expr, values: Mapping[str, Any]) -> Any:
    """What a formula gives for values by name."""
    if isinstance(tree, ast.BinOp):
        return OPERATIONS[type(tree.op)](evaluate(tree.left, values), evaluate(tree.right, values))
    if isinstance(tree, ast.UnaryOp):
        return OPERATIONS[type(tree.op)](evaluate(tree.operand, values))
    return values[tree.id] if isinstance(tree, ast.Name) else tree.value  # type: ignore[attr-defined]


def _pint() -> Any:
    try:
        import pint
    except ImportError:
        raise InputError("domain.groups need the package pint; pip install 'exapt[engineering]'") from None
    registry: Any = pint.UnitRegistry(cache_folder=None)
    registry.DimensionalityError = pint.DimensionalityError
    return registry
