"""Rows of positive numbers as logarithms: files, absent columns, regimes, groups with units, and mistakes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exapt.domains import QuantitiesSpec, Source, from_arrays, load_domain
from exapt.errors import InputError

TWO = {"columns": ["Re", "Pr"]}
GROUPS = {
    "columns": ["Re", "e_D"],
    "groups": {"Re": "velocity * diameter / viscosity", "e_D": "height / diameter"},
}
MEASURED = "velocity,diameter,viscosity,height,Nu\n2,0.05,1.5e-5,3,40\n4,0.05,1.5e-5,2,70\n"
UNITS = {"velocity": "m/s", "diameter": "m", "viscosity": "m^2/s", "height": "mm"}


def written(folder: Path, text: str) -> Source:
    path = folder / "rows.csv"
    path.write_text(text)
    return Source(path=str(path), label="Nu")


def spec(**keys: object) -> QuantitiesSpec:
    return QuantitiesSpec.parse({"kind": "quantities", **keys})


def logs(found: QuantitiesSpec, source: Source) -> np.ndarray:
    domain = found.build()
    return np.exp(domain.logarithms(domain.read(source))[1])


def test_a_file_becomes_logarithms(tmp_path: Path) -> None:
    source = written(tmp_path, "Pr,Re,Nu,note\n0.7,1e4,40,a\n7,2e4,90,b\n")
    domain = spec(**TWO).build(source)
    data = domain.read(source)
    regimes, found = domain.logarithms(data)
    assert regimes.tolist() == [0, 0]
    np.testing.assert_allclose(found, np.log([[1e4, 0.7], [2e4, 7]]))
    np.testing.assert_allclose(domain.mean, found.mean(0))
    np.testing.assert_allclose(domain.spread, found.std(0))
    assert domain.inputs.features == 2
    assert data.lengths.tolist() == [1, 1]
    batch = domain.collate(list(data))
    np.testing.assert_allclose(batch.inputs[:, 1:].numpy(), found)
    assert domain.collate([]).inputs.shape == (0, 3)
    np.testing.assert_allclose(domain.classical(data)[0], found)


def test_a_column_that_may_be_absent_counts_as_one(tmp_path: Path) -> None:
    found = spec(columns=["Re", "e_D"], absent=["e_D"])
    smooth = written(tmp_path, "Re,Nu\n1e4,40\n2e4,70\n")
    np.testing.assert_allclose(logs(found, smooth), [[1e4, 1], [2e4, 1]])
    domain = found.build(smooth)
    assert domain.spread[1] == 1.0
    np.testing.assert_allclose(logs(found, written(tmp_path, "Re,e_D,Nu\n1e4,.05,40\n")), [[1e4, 0.05]])


def test_regimes_begin_at_their_bounds(tmp_path: Path) -> None:
    found = spec(**TWO, regimes={"column": "Re", "at": [2300, 1e4]})
    domain = found.build()
    data = domain.read(written(tmp_path, "Re,Pr,Nu\n1000,1,4\n2300,1,5\n9999,1,30\n1e4,1,31\n1e6,1,900\n"))
    assert domain.logarithms(data)[0].tolist() == [0, 1, 1, 2, 2]
    assert domain.inputs.regimes == 3


def test_groups_are_made_of_columns_in_any_units(tmp_path: Path) -> None:
    pytest.importorskip("pint")
    found = logs(spec(**GROUPS, units=UNITS), written(tmp_path, MEASURED))
    np.testing.assert_allclose(found, [[2 * 0.05 / 1.5e-5, 0.06], [4 * 0.05 / 1.5e-5, 0.04]])


def test_a_header_may_say_the_unit_and_the_spec_has_the_last_word(tmp_path: Path) -> None:
    pytest.importorskip("pint")
    headed = MEASURED.replace(
        "velocity,diameter,viscosity,height", "velocity [m/s],diameter [m],viscosity [m^2/s],height [mm]"
    )
    found = logs(spec(**GROUPS), written(tmp_path, headed))
    np.testing.assert_allclose(found[0], [2 * 0.05 / 1.5e-5, 0.06])
    turned = logs(spec(**GROUPS, units={"height": "m"}), written(tmp_path, headed))
    np.testing.assert_allclose(turned[0], [2 * 0.05 / 1.5e-5, 60])


def test_formulas_hold_sums_powers_and_numbers(tmp_path: Path) -> None:
    pytest.importorskip("pint")
    found = spec(columns=["S"], groups={"S": "2 * a ** 2 / (a * b + a ** 2) - -1"}, units={"a": "m", "b": "cm"})
    assert logs(found, written(tmp_path, "a,b,Nu\n3,100,1\n")).tolist() == [[pytest.approx(18 / 12 + 1)]]


def test_saved_and_restored(tmp_path: Path) -> None:
    source = written(tmp_path, "Re,Pr,Nu\n1000,1,4\n23000,2,5\n")
    domain = spec(**TWO, regimes={"column": "Re", "at": [2300]}).build(source)
    domain.save(tmp_path / "domain")
    again = load_domain(tmp_path / "domain")
    assert (again.spec, again.inputs) == (domain.spec, domain.inputs)
    assert again.read(source).fingerprint() == domain.read(source).fingerprint()
    first = domain.read(source)[0]
    assert again.fingerprints(first).tolist() == domain.fingerprints(first).tolist()
    assert domain.fingerprints(domain.read(source)[1]).tolist() != domain.fingerprints(first).tolist()


def test_masking_is_refused() -> None:
    domain = spec(**TWO).build()
    data = domain.read(from_arrays([{"Re": 1.0, "Pr": 1.0}]))
    with pytest.raises(
        InputError, match=r"^domain quantities: a row has nothing to hide; valid: objective.kind=powerlaw$"
    ):
        domain.mask(domain.collate(list(data)), 0.3, None)


@pytest.mark.parametrize(
    ("keys", "text", "message"),
    [
        (TWO, "Re,Pr,Nu\n1e4,0.7,40\n-3,0.7,40\n", r"rows.csv: .*: 'Re' is -3; a logarithm needs a positive number$"),
        (TWO, "Re,Pr,Nu\n1e4,0,40\n", r"'Pr' is 0; a logarithm needs a positive number$"),
        (TWO, "Re,Pr,Nu\n1e4,,40\n", r"'Pr' is missing; a logarithm needs a positive number$"),
        (TWO, "Re,Pr,Nu\n1e4,air,40\n", r"'Pr' holds 'air', which is no number$"),
        (TWO, "Re,Nu\n1e4,40\n", r"rows.csv: .*'Pr'"),
        (
            {"columns": ["Re", "Nu"]},
            "Re,Nu\n1e4,40\n",
            r"'Nu' is a label, group or split, and stands in domain.columns",
        ),
        (GROUPS, MEASURED, r"the unit of column 'viscosity' is not given; say it in domain.units, 1 for none$"),
        (GROUPS | {"units": UNITS | {"velocity": "furlgs"}}, MEASURED, r"^domain.units: 'furlgs' of column 'velocity'"),
        (GROUPS | {"units": UNITS | {"velocity": "m"}}, MEASURED, r"groups.Re: its units must cancel, and do not"),
        (
            GROUPS | {"units": UNITS},
            "speed,diameter,viscosity,height,Nu\n1,1,1,1,1\n",
            r"no column 'velocity', which groups.Re",
        ),
        ({"columns": ["a"], "groups": {"a": "b *"}}, "b,Nu\n1,1\n", r"^domain.groups.a: 'b \*' is no formula"),
        (
            {"columns": ["a"], "groups": {"a": "open('b')"}},
            "b,Nu\n1,1\n",
            r"may hold columns, numbers, \+ - \* / \*\* and",
        ),
    ],
)
def test_mistakes_in_files_end_in_one_line(keys: dict, text: str, message: str, tmp_path: Path) -> None:
    if "groups" in keys:
        pytest.importorskip("pint")
    with pytest.raises(InputError, match=message) as caught:
        spec(**keys).build(written(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (TWO | {"absent": ["e_D"]}, r"'e_D' is none of columns \(Re, Pr\)"),
        (TWO | {"regimes": {"column": "x", "at": [1]}}, r"'x' is none of columns"),
        (TWO | {"regimes": {"column": "Re", "at": [5, 1]}}, r"is not ascending; sort the values"),
        ({"columns": ["Re", "Re"]}, r"columns: 'Re' stands there twice"),
        (TWO | {"groups": {"e_D": "e / D"}}, r"groups.e_D is none of columns \(Re, Pr\); add it there"),
    ],
)
def test_mistakes_in_the_spec(keys: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec(**keys)
