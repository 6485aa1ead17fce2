"""Heat transfer in rectangular channels with ribs on two opposite walls: Han's correlations.

Han 1988 (J. Heat Transfer 110, 321) for ribs across the flow, Han and Park 1988 (Int. J. Heat Mass Transfer 31, 183)
for angled ones. Both rest on the law of the wall: a roughness function R of the friction, and a heat-transfer roughness
function G. e is a rib's height, P the pitch from rib to rib, D the hydraulic diameter, W and H the sides of the channel
(W along the ribbed walls), e⁺ the roughness Reynolds number.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

LEAST_ROUGHNESS = 50.0
"""Below this e⁺ the flow is not fully rough, and the correlation does not hold."""
VALID = {"Re": (1e4, 6e4), "e_D": (0.047, 0.078), "P_e": (10.0, 20.0), "W_H": (1.0, 4.0), "alpha": (30.0, 90.0)}
"""The measured range of every quantity; α is the ribs' angle to the flow in degrees."""


class Ribbed(NamedTuple):
    """What the correlation says, each (n,)."""

    nusselt: np.ndarray
    """Of the ribbed wall."""
    friction: np.ndarray
    """Fanning's factor of a channel with four ribbed walls."""
    roughness: np.ndarray
    """e⁺."""


def ribbed_channel(
    re: np.ndarray, pr: np.ndarray, e_d: np.ndarray, p_e: np.ndarray, w_h: np.ndarray, alpha: np.ndarray | float = 90.0
) -> Ribbed:
    """Nusselt numbers of arrays (n,). Nothing is checked here: `outside` says what lies beyond the measured range.

    R − 2.5 ln((2e/D)(2W/(W + H))) − 2.5 = √(2/f) and St = (f/2)/(1 + (G − R)√(f/2)), Nu = St Re Pr.
    """
    alpha = np.broadcast_to(np.asarray(alpha, dtype=float), np.shape(re))
    wall = friction_roughness(p_e, w_h, alpha)
    friction = 2 / (wall - 2.5 * np.log(2 * e_d * 2 * w_h / (w_h + 1)) - 2.5) ** 2
    roughness = e_d * re * np.sqrt(friction / 2)
    heat = heat_roughness(roughness, p_e, w_h, alpha)
    stanton = friction / (2 * (1 + (heat - wall) * np.sqrt(friction / 2)))
    return Ribbed(stanton * re * pr, friction, roughness)


def friction_roughness(p_e: np.ndarray, w_h: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """R: 3.2 ((P/e)/10)^0.35 across the flow; angled as Han and Park, where W/H counts up to 2."""
    turned = 12.31 - 27.07 * alpha / 90 + 17.86 * (alpha / 90) ** 2
    shape = np.where(alpha < 90, np.minimum(w_h, 2.0) ** 0.35, 1.0)
    return np.where(alpha < 90, turned * shape, 3.2) * (p_e / 10) ** 0.35


def heat_roughness(roughness: np.ndarray, p_e: np.ndarray, w_h: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """G of the ribbed wall in air: 3.7 e⁺^0.28 across the flow; angled as Han and Park."""
    square = np.isclose(w_h, 1.0)
    angle = np.where(square, (alpha / 90) ** 0.35, 1.0)
    pitch = np.where(square, (p_e / 10) ** 0.1, 1.0)
    angled = 2.24 * w_h**0.1 * angle * pitch * roughness**0.35
    return np.where(alpha < 90, angled, 3.7 * roughness**0.28)


def outside(name: str, values: np.ndarray) -> np.ndarray:
    """(n,) which values lie beyond the measured range."""
    low, high = VALID[name]
    return (values < low) | (values > high)
