"""Sources of engineering data that need no file: Nusselt numbers by published correlations, with noise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from exapt.domains.ribs import VALID, ribbed_channel
from exapt.errors import InputError, nearest

SCHEMES = ("ht:", "han:")
"""How names of these sources begin."""
NOISE = 0.03
"""Standard deviation of the logarithm: 3 % of each value. A name that ends in `/exact` has none."""
AIR = 0.703
"""Prandtl number of air, which all measurements of ribbed channels were made with."""
TRANSITION = 5e5
"""Reynolds number at which the boundary layer of a plate is taken to turn turbulent."""
Columns = dict[str, np.ndarray]


def correlation(path: str) -> Columns:
    """The columns of a built-in source, (n,) each; raises `InputError` for a name that there is not."""
    name, _, exact = path.partition("/")
    if name not in SOURCES or exact not in ("", "exact"):
        raise InputError(
            f"{path}: no such built-in source; {nearest(path, [*SOURCES, *(f'{n}/exact' for n in SOURCES)])}"
        )
    make, seed = SOURCES[name]
    rng = np.random.default_rng(seed)
    columns = make(rng)
    noise = rng.standard_normal(len(columns["Nu"]))
    return columns if exact else columns | {"Nu": columns["Nu"] * np.exp(NOISE * noise)}


def flat_plate(rng: np.random.Generator) -> Columns:
    """Mean Nusselt numbers of a plate at one temperature, laminar up to Re = 5e5 and turbulent from there on."""
    ht = _ht()
    re, pr = between(rng, 2000, 1e3, 1e7), between(rng, 2000, 0.65, 9.5)
    thin, thick = ht.Nu_horizontal_plate_laminar_Baehr, ht.Nu_horizontal_plate_turbulent_Kreith
    nu = [thin(r, p) if r < TRANSITION else thick(r, p) for r, p in zip(re.tolist(), pr.tolist(), strict=True)]
    return {"Re": re, "Pr": pr, "Nu": np.array(nu)}


def turbulent_plate(rng: np.random.Generator) -> Columns:
    """The turbulent part of `flat_plate` alone."""
    found = flat_plate(rng)
    return {name: values[found["Re"] >= TRANSITION] for name, values in found.items()}


def smooth_duct(rng: np.random.Generator) -> Columns:
    """Turbulent flow that is heated in a smooth duct: Dittus and Boelter 1930."""
    ht = _ht()
    re, pr = between(rng, 2000, 1e4, 2e5), between(rng, 2000, 0.65, 100.0)
    nu = [ht.turbulent_Dittus_Boelter(r, p, heating=True) for r, p in zip(re.tolist(), pr.tolist(), strict=True)]
    return {"Re": re, "Pr": pr, "Nu": np.array(nu)}


def ribbed(rng: np.random.Generator) -> Columns:
    """Air in channels with ribs across the flow, over all of the measured range (`exapt.domains.ribs`)."""
    return _ribbed(rng, 1000, VALID["Re"])


def ribbed_far(rng: np.random.Generator) -> Columns:
    """The same with a column `part`: train up to Re = 2e4, test above, up to three times as far."""
    found = _ribbed(rng, 1000, VALID["Re"])
    return found | {"part": np.where(found["Re"] <= VALID["Re"][1] / 3, "train", "test")}


def between(rng: np.random.Generator, count: int, low: float, high: float) -> np.ndarray:
    """(count,) draws whose logarithm is uniform."""
    return np.asarray(np.exp(rng.uniform(np.log(low), np.log(high), count)))


def _ribbed(rng: np.random.Generator, count: int, reynolds: tuple[float, float]) -> Columns:
    drawn = {name: between(rng, count, *VALID[name]) for name in ("e_D", "P_e", "W_H")}
    re, pr = between(rng, count, *reynolds), np.full(count, AIR)
    nu = ribbed_channel(re, pr, drawn["e_D"], drawn["P_e"], drawn["W_H"]).nusselt
    return {"Re": re, "Pr": pr, **drawn, "Nu": nu}


def _ht() -> Any:
    try:
        import ht
    except ImportError:
        raise InputError("sources ht: … need the package ht; pip install 'exapt[engineering]'") from None
    return ht


SOURCES: dict[str, tuple[Callable[[np.random.Generator], Columns], int]] = {
    "ht:flat-plate": (flat_plate, 1),
    "ht:turbulent-plate": (turbulent_plate, 1),
    "ht:smooth-duct": (smooth_duct, 2),
    "han:ribbed-channel": (ribbed, 3),
    "han:ribbed-channel-far": (ribbed_far, 4),
}
"""What each is made by, and the seed of its draws."""
