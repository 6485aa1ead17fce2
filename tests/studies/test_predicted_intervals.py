"""`exapt predict` of a fit that knows how sure it is: low, high, and what lies outside the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from exapt.adaptation import LawSpec, Start, fit, load_fitted
from exapt.backbones import PowerLawSpec
from exapt.domains import Arrays, QuantitiesSpec, Source
from exapt.studies.fits import interval_figures
from exapt.studies.single import predict_file
from exapt.tasks import RegressSpec


def fitted_in(folder: Path, spec: LawSpec) -> Path:
    rows = [{"Re": 1e4 * (i + 1)} for i in range(6)]
    source = Arrays(rows, {"Nu": [10 * (i + 1) ** 0.8 for i in range(6)]}, label=["Nu"])
    domain = QuantitiesSpec(columns=["Re"]).build(source)
    data = domain.read(source)
    task = RegressSpec(log=True).build(data)
    data = task.attach(data)
    start = Start(domain, PowerLawSpec(width=4).build(domain.inputs, 0))
    return fit(spec, start, task, data, data.subset([]), 0).save(folder / "model")


def predicted(folder: Path, spec: LawSpec, rows: str) -> list[list[str]]:
    (folder / "new.csv").write_text(rows)
    predict_file(fitted_in(folder, spec), Source(path=str(folder / "new.csv")), folder / "out.csv")
    return [line.split(",") for line in (folder / "out.csv").read_text().splitlines()]


def test_intervals_and_what_lies_outside_are_written(tmp_path: Path) -> None:
    head, near, far = predicted(tmp_path, LawSpec(residual=False), "Re\n30000\n300000\n")
    assert head == ["index", "Nu", "low", "high", "outside"]
    value, low, high = (float(v) for v in near[1:4])
    assert low < value < high
    np.testing.assert_allclose(value, 10 * 3**0.8, rtol=0.02)
    assert (near[4], far[4]) == ("", "Re")


def test_nothing_is_written_where_there_is_nothing_to_say(tmp_path: Path) -> None:
    rows = predicted(tmp_path, LawSpec(prior="none", residual=False), "Re\n30000\n")
    assert rows[0] == ["index", "Nu"]


def test_coverage_counts_the_labels_inside(tmp_path: Path) -> None:
    fitted = load_fitted(fitted_in(tmp_path, LawSpec(residual=False)))
    test = fitted.domain.read(Arrays([{"Re": 2e4}, {"Re": 3e4}, {"Re": 4e4}]))
    low, high = fitted.intervals(test).T
    truth = np.array([[low[0] * 1.0001], [high[1] * 1.01], [high[2] * 0.9999]])
    found = interval_figures(fitted, test, truth)
    assert found["coverage of 90 %"] == 2 / 3
    np.testing.assert_allclose(found["relative width"], np.mean((high - low) / ((high + low) / 2)))
