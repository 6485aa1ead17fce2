"""Han's correlations against numbers worked out by hand, and the built-in sources made with them."""

from __future__ import annotations

import numpy as np
import pytest

from exapt.domains import QuantitiesSpec, Source
from exapt.domains.correlations import SOURCES, correlation
from exapt.domains.ribs import VALID, friction_roughness, heat_roughness, outside, ribbed_channel
from exapt.errors import InputError


def at(re: float, **other: float) -> tuple[float, float, float]:
    given = {"pr": 0.703, "e_d": 0.047, "p_e": 10.0, "w_h": 1.0, "alpha": 90.0, **other}
    found = ribbed_channel(np.array([re]), *(np.array([given[n]]) for n in ("pr", "e_d", "p_e", "w_h", "alpha")))
    return float(found.nusselt[0]), float(found.friction[0]), float(found.roughness[0])


def test_the_correlation_is_that_of_han() -> None:
    nusselt, friction, roughness = at(1e4)
    assert friction == pytest.approx(0.0457589, rel=1e-5)
    assert roughness == pytest.approx(71.092, rel=1e-5)
    assert nusselt == pytest.approx(68.072, rel=1e-5)
    assert at(12510.334)[0] == pytest.approx(81.0598, rel=1e-5)


def test_friction_does_not_depend_on_the_flow_and_heat_goes_with_prandtl() -> None:
    assert at(1e4)[1] == pytest.approx(at(6e4)[1], rel=1e-12)
    assert at(1e4, pr=1.406)[0] == pytest.approx(2 * at(1e4)[0], rel=1e-12)


def test_angled_ribs_follow_han_and_park() -> None:
    one = np.array([1.0])
    assert float(friction_roughness(20 * one, one, 90 * one)[0]) == pytest.approx(3.2 * 2**0.35)
    turned = (12.31 - 27.07 / 2 + 17.86 / 4) * 2**0.35
    assert float(friction_roughness(10 * one, 4 * one, 45 * one)[0]) == pytest.approx(turned)
    assert float(heat_roughness(100 * one, 20 * one, one, 45 * one)[0]) == pytest.approx(
        2.24 * 0.5**0.35 * 2**0.1 * 100**0.35
    )
    assert float(heat_roughness(100 * one, 20 * one, 4 * one, 45 * one)[0]) == pytest.approx(2.24 * 4**0.1 * 100**0.35)


def test_what_lies_beyond_the_measured_range() -> None:
    assert outside("Re", np.array([9999.0, 1e4, 6e4, 60001.0])).tolist() == [True, False, False, True]


def test_the_ribbed_source_lies_in_the_range_and_has_three_per_cent_of_noise() -> None:
    noisy, exact = correlation("han:ribbed-channel"), correlation("han:ribbed-channel/exact")
    for name in ("Re", "e_D", "P_e", "W_H"):
        assert not outside(name, noisy[name]).any()
        assert np.array_equal(noisy[name], exact[name])
        low, high = VALID[name]
        assert noisy[name].max() / noisy[name].min() > 0.9 * high / low
    noise = np.log(noisy["Nu"] / exact["Nu"])
    assert noise.std() == pytest.approx(0.03, abs=0.003)
    far = correlation("han:ribbed-channel-far")
    assert far["Re"][far["part"] == "train"].max() <= 2e4 < far["Re"][far["part"] == "test"].min()


def test_the_smooth_sources_are_published_correlations() -> None:
    pytest.importorskip("ht")
    duct = correlation("ht:smooth-duct/exact")
    np.testing.assert_allclose(duct["Nu"], 0.023 * duct["Re"] ** 0.8 * duct["Pr"] ** 0.4, rtol=1e-9)
    plate = correlation("ht:turbulent-plate/exact")
    assert plate["Re"].min() >= 5e5
    np.testing.assert_allclose(plate["Nu"], 0.036 * plate["Re"] ** 0.8 * plate["Pr"] ** (1 / 3), rtol=0.05)
    assert all(set(correlation(name)) >= {"Re", "Pr", "Nu"} for name in SOURCES)


def test_a_source_that_there_is_not() -> None:
    spec = QuantitiesSpec(columns=["Re", "Pr"])
    with pytest.raises(InputError, match=r"^han:ribbed-chanel: no such built-in source; did you mean"):
        spec.build().read(Source(path="han:ribbed-chanel", label="Nu"))
    with pytest.raises(InputError, match=r"^ht:smooth-duct/precise: no such built-in source"):
        correlation("ht:smooth-duct/precise")
    read = spec.build().read(Source(path="han:ribbed-channel", label="Nu", limit=20))
    assert len(read) == 20
