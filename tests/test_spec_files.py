"""Specs answer an unknown key with the nearest valid one; files are written whole or not at all."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, PositiveInt

from exapt import files
from exapt.errors import InputError, nearest
from exapt.spec import Spec, digest


class Constant(Spec):
    kind: Literal["constant"] = "constant"
    warmup: int = 0


class Cosine(Spec):
    kind: Literal["cosine"] = "cosine"
    warmup: int = 0
    floor: float = 0.0


class Inner(Spec):
    steps: PositiveInt = 1
    schedule: Annotated[Constant | Cosine, Field(discriminator="kind")] = Constant()


class Outer(Spec):
    name: str = "x"
    train: Inner = Inner()
    many: list[Inner] = Field(default_factory=list)
    arms: dict[str, Inner] = Field(default_factory=dict)
    maybe: Inner | None = None


@pytest.mark.parametrize(
    ("data", "key", "hint"),
    [
        ({"nam": 1}, "'nam'", "did you mean 'name'?"),
        ({"train": {"step": 3}}, "'train.step'", "did you mean 'steps'?"),
        ({"train": {"schedule": {"kind": "cosine", "flor": 1}}}, "flor'", "did you mean 'floor'?"),
        ({"train": {"schedule": {"kind": "constant", "floor": 1}}}, "floor'", "valid: kind, warmup"),
        ({"many": [{}, {"stepps": 1}]}, "'many.1.stepps'", "did you mean 'steps'?"),
        ({"arms": {"mine": {"steps": 1, "shedule": {}}}}, "shedule'", "did you mean 'schedule'?"),
        ({"maybe": {"stp": 1}}, "'maybe.stp'", "did you mean 'steps'?"),
    ],
)
def test_an_unknown_key_names_its_owner_and_the_nearest_valid_one(data: dict, key: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        Outer.parse(data, "study.yaml")
    message = str(caught.value)
    assert message.startswith("study.yaml: unknown key '")
    assert key in message and hint in message
    assert "\n" not in message


def test_a_wrong_value_is_named_with_what_was_found() -> None:
    with pytest.raises(InputError, match=r"study: train\.steps: .*greater than 0 \(found -3\)"):
        Outer.parse({"train": {"steps": -3}}, "study")
    with pytest.raises(InputError, match=r"constant.*cosine"):
        Outer.parse({"train": {"schedule": {"kind": "linear"}}}, "study")
    with pytest.raises(InputError, match=r"study: many: expected a list \(found 'x'\)$"):
        Outer.parse({"many": "x"}, "study")
    with pytest.raises(InputError, match="and 1 more"):
        Outer.parse({"train": {"steps": -3}, "name": 3}, "study")


def test_specs_are_frozen_and_write_out_every_default() -> None:
    spec = Outer.parse({"train": {"schedule": {"kind": "cosine"}}})
    with pytest.raises(Exception, match="frozen"):
        spec.name = "y"  # type: ignore[misc]
    assert spec.plain()["train"] == {"steps": 1, "schedule": {"kind": "cosine", "warmup": 0, "floor": 0.0}}
    assert Outer.parse(spec.plain()) == spec


def test_digest_goes_by_content_not_by_order_or_spelling_of_defaults() -> None:
    assert Outer.parse({"name": "x"}).digest() == Outer().digest()
    assert Outer.parse({"name": "y"}).digest() != Outer().digest()
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_nearest_always_lists_the_valid_words() -> None:
    assert nearest("zzz", ["steps", "epochs"]) == "valid: epochs, steps"
    assert nearest("zzz", []) == "valid: none"


def test_a_message_is_one_line() -> None:
    assert str(InputError("a\n b\t c")) == "a b c"


# --- files ---------------------------------------------------------------------------------------------------


def test_a_failure_before_the_end_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    files.write_json(path, {"version": 1})

    def half_written() -> None:
        with files.atomic(path) as temporary:
            temporary.write_text('{"version": 2, "half')
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half_written()
    assert files.read_json(path) == {"version": 1}
    assert os.listdir(tmp_path) == ["record.json"]  # noqa: PTH208


def test_a_failing_sync_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk shows itself when the bytes are forced out."""
    path = tmp_path / "record.json"
    files.write_json(path, {"version": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_json(path, {"version": 2})
    assert files.read_json(path) == {"version": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_value_that_cannot_be_written_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    files.write_json(path, [1])
    with pytest.raises(TypeError):
        files.write_json(path, [object()])
    assert files.read_json(path) == [1]


def test_the_reader_sees_old_or_new_never_half(tmp_path: Path) -> None:
    path = tmp_path / "text"
    files.write_text(path, "old")
    with files.atomic(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_folders_are_made_and_a_blocked_one_is_named(tmp_path: Path) -> None:
    files.write_text(tmp_path / "a" / "b" / "c.txt", "x")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file.*cannot create this folder.*writable"):
        files.make_folder(tmp_path / "file" / "inner")


def test_missing_and_broken_json_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone\.json: no such file"):
        files.read_json(tmp_path / "gone.json")
    (tmp_path / "broken.json").write_text("{")
    with pytest.raises(InputError, match=r"broken\.json: not valid JSON"):
        files.read_json(tmp_path / "broken.json")
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"bytes\.json: not valid JSON"):
        files.read_json(tmp_path / "bytes.json")


def test_locate_says_what_was_expected(tmp_path: Path) -> None:
    assert files.locate(tmp_path, "a folder") == tmp_path
    with pytest.raises(InputError, match="no such file or folder; expected a csv file"):
        files.locate(tmp_path / "x.csv", "a csv file")


def test_json_survives_numpy_and_not_a_number() -> None:
    data = {"a": np.float32(0.5), "b": np.array([1, 2]), "c": math.nan, 3: {math.inf}, "p": Path("x"), "t": (True,)}
    plain = files.jsonable(data)
    assert plain == {"a": 0.5, "b": [1, 2], "c": None, "3": [None], "p": "x", "t": [True]}
    json.dumps(plain, allow_nan=False)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_json_is_always_strict(data: object) -> None:
    json.dumps(files.jsonable(data), allow_nan=False)


def test_checksum_sees_one_changed_byte(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(bytes(100_000))
    before = files.checksum(path)
    path.write_bytes(bytes(99_999) + b"\x01")
    assert files.checksum(path) != before
