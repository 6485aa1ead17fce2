"""Reading tables in pieces: csv, tsv, jsonl, parquet, and Hugging Face data sets."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from exapt.domains.opening import File
from exapt.domains.pieces import ROWS, Piece, Wanted, companion, from_file, require
from exapt.errors import InputError


def read_table(file: File, wanted: Wanted) -> Iterator[Piece]:
    """Pieces of a table with the value's column as `values`; raises `InputError` naming file and row."""
    if file.suffix in (".csv", ".tsv"):
        return read_csv(file, wanted, "\t" if file.suffix == ".tsv" else ",")
    if file.suffix == ".parquet":
        return read_parquet(file, wanted)
    return read_jsonl(file, wanted)


def read_csv(file: File, wanted: Wanted, delimiter: str) -> Iterator[Piece]:
    """A header line, then one record a row; blank rows are passed over. Rows are counted from 1 below the header."""
    csv.field_size_limit(2**31 - 1)
    with file.open() as raw:
        text = io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")
        rows = _rows(csv.reader(text, delimiter=delimiter, skipinitialspace=wanted.whole), file.name)
        header = list(wanted.header) if wanted.header else next(rows, None)
        if header is None:
            raise InputError(f"{file.name}: the table is empty; expected a header line and rows below it")
        value, others = _resolve(header, wanted, file)
        places = [header.index(name) for name in (value, *others)]
        first = 1
        while batch := list(islice(rows, ROWS)):
            for number, row in enumerate(batch, first):
                if len(row) != len(header):
                    raise InputError(f"{file.name}: row {number} has {len(row)} fields, the header has {len(header)}")
            values, *columns = ([row[place] for row in batch] for place in places)
            yield _piece(file, values, dict(zip(others, columns, strict=True)), wanted, first)
            first += len(batch)


def _rows(reader: Iterable[list[str]], name: str) -> Iterator[list[str]]:
    try:
        yield from (row for row in reader if row)
    except csv.Error as error:
        raise InputError(f"{name}: not a valid table ({error})") from None


def read_jsonl(file: File, wanted: Wanted) -> Iterator[Piece]:
    """One JSON object a line; the first says which keys there are. A key that a later line lacks is missing there."""
    with file.open() as raw:
        lines = io.TextIOWrapper(raw, encoding="utf-8-sig")
        objects = (_object(line, file, n) for n, line in enumerate(lines, 1) if not line.isspace())
        head = next(objects, None)
        if head is None:
            raise InputError(f"{file.name}: the file is empty; expected one JSON object a line")
        value, others = _resolve(list(head), wanted, file)
        batch, first = [head, *islice(objects, ROWS - 1)], 1
        while batch:
            lacking = None if wanted.whole else next((i for i, item in enumerate(batch) if value not in item), None)
            if lacking is not None:
                raise InputError(
                    f"{file.name}: line {first + lacking} has no key '{value}'; there are: {', '.join(batch[lacking])}"
                )
            columns = {name: [item.get(name) for item in batch] for name in others}
            yield _piece(file, [item.get(value) for item in batch], columns, wanted, first, "line")
            first += len(batch)
            batch = list(islice(objects, ROWS))


def _object(line: str, file: File, number: int) -> dict[str, Any]:
    try:
        item = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{file.name}: line {number} is not valid JSON ({error.msg}); expected one object a line"
        ) from None
    if not isinstance(item, dict):
        raise InputError(f"{file.name}: line {number} holds {type(item).__name__}; expected a JSON object with keys")
    return item


def read_parquet(file: File, wanted: Wanted) -> Iterator[Piece]:
    """Row groups are read a piece at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with file.open() as raw:
        try:
            table = pq.ParquetFile(raw if not file.member else io.BytesIO(raw.read()))
            value, others = _resolve(table.schema_arrow.names, wanted, file)
            first = 1
            for batch in table.iter_batches(ROWS, columns=list(dict.fromkeys([value, *others]))):
                columns = {name: batch.column(name).to_pylist() for name in (value, *others)}
                yield _piece(file, columns[value], {n: columns[n] for n in others}, wanted, first)
                first += batch.num_rows
        except pa.ArrowInvalid as error:
            raise InputError(f"{file.name}: a damaged parquet file ({error})") from None


def open_hub(path: str) -> Any:
    """The data set of `hf:owner/name[[:config]:split]` (split `train` where none is named), through `datasets`."""
    try:
        import datasets
    except ImportError:
        raise InputError(f"{path}: reading Hugging Face data sets needs `pip install exapt[text]`") from None
    name, *rest = path.removeprefix("hf:").split(":")
    split, config = rest[-1] if rest else "train", rest[0] if len(rest) > 1 else None
    try:
        return datasets.load_dataset(name, config, split=split)
    except Exception as error:  # the hub's client raises many unrelated kinds; each means the data did not come
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: the Hugging Face data set did not load ({reason}); check name, split and network"
        ) from None


def read_hub(data: Any, path: str, wanted: Wanted) -> Iterator[Piece]:
    """Pieces of an opened Hugging Face data set."""
    value = wanted.pick_value(data.column_names, path)
    others = [require(name, data.column_names, path) for name in wanted.others_of(data.column_names)]
    for start in range(0, len(data), ROWS):
        batch: Mapping[str, Sequence[Any]] = data.select_columns(list(dict.fromkeys([value, *others])))[
            start : start + ROWS
        ]
        yield Piece(path, list(batch[value]), start + 1, "row", {name: list(batch[name]) for name in others})


def _resolve(there: Sequence[str], wanted: Wanted, file: File) -> tuple[str, list[str]]:
    """The value's column and the other columns to read from the table itself."""
    value = wanted.pick_value(there, file.name)
    given = from_file(file) if file.root else {}
    extra = companion(wanted.split, there)
    names = [*wanted.others_of(there), *([extra] if extra else [])]
    for name in names:
        require(name, [*there, *given], file.name)
    return value, [name for name in names if name in there]


def _piece(
    file: File, values: list[Any], columns: dict[str, list[Any]], wanted: Wanted, first: int, noun: str = "row"
) -> Piece:
    given = from_file(file) if file.root else {}
    extra = {name: [given[name]] * len(values) for name in wanted.others if name not in columns}
    return Piece(file.name, values, first, noun, columns | extra)
