"""What a cloud of features looks like without labels: how many directions it fills, how it lies on the sphere.

Shapes: n examples, D width, k = min(n, D) singular values σ, λ = σ². Spectra come from the eigenvalues of the smaller
Gram matrix, summed in float64: ten times as fast as singular values of the features themselves.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.special import hyp0f1
from torch import Tensor

ROWS = 2048
"""Rows that are widened to float64 at a time."""
EPSILON = 1e-7
"""Added to each share of the spectrum (Garrido et al. 2023, RankMe)."""
DEAD = 1e-4
"""A direction is dead below this share of the largest variance."""

Array = np.ndarray | Tensor


def spectrum(features: Array, centred: bool = True) -> np.ndarray:
    """(k,) eigenvalues λ of the scatter matrix of features (n, D), descending; what rounding makes of zero is zero."""
    x = torch.as_tensor(features)
    middle = _mean(x) if centred and len(x) else None
    gram = _tall(x, middle) if x.shape[0] >= x.shape[1] else _wide(x, middle)
    values = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0).cpu().numpy()
    zero = len(values) * np.finfo(np.float64).eps * (values[0] if len(values) else 0.0)
    return np.where(values > zero, values, 0.0)


def rank_of(values: np.ndarray, epsilon: float = 0.0) -> float:
    """exp of the entropy of shares p = v / Σv + ε of values (k,): how many of them there seem to be.

    On σ it is the effective rank (Roy & Vetterli 2007); on σ with ε = 1e-7 it is RankMe; on λ the eigenvalue rank.
    A spectrum that is all zero has rank 0.
    """
    total = float(values.sum())
    if total <= 0:
        return 0.0
    p = values / total + epsilon
    p = p[p > 0]
    return math.exp(-float((p * np.log(p)).sum()))


def rankme(features: Array, centred: bool = True) -> float:
    """RankMe (Garrido et al. 2023, eq. 3) of features (n, D).

    The paper's is uncentred, which a constant offset of healthy features drags down; centred is at most n − 1.
    """
    return rank_of(np.sqrt(spectrum(features, centred)), EPSILON)


def nesum(eigenvalues: np.ndarray) -> float:
    """Σ λ / λ₁ (He & Ozay 2022): D when whitened, 1 when one direction is left, 0 for no variance."""
    return float(eigenvalues.sum() / eigenvalues[0]) if len(eigenvalues) and eigenvalues[0] > 0 else 0.0


def participation(eigenvalues: np.ndarray) -> float:
    """The participation ratio (Σ λ)² / Σ λ²."""
    squares = float(np.square(eigenvalues).sum())
    return float(eigenvalues.sum()) ** 2 / squares if squares > 0 else 0.0


def decay(eigenvalues: np.ndarray) -> float:
    """α-ReQ (Agrawal et al. 2022): −slope of log λ_k over log k from the 4th to the middle one; NaN below 16.

    Near 1 for good features, far above for collapsed ones. The head is left out because it depends on single
    directions, the tail because few examples bend it.
    """
    alive = eigenvalues[eigenvalues > 0]
    if len(alive) < 16:
        return math.nan
    k = np.arange(4, len(alive) // 2 + 1)
    return -float(np.polyfit(np.log(k), np.log(alive[k - 1]), 1)[0])


def dead(eigenvalues: np.ndarray, width: int) -> int:
    """How many of `width` directions hold less than 1e-4 of the largest one's variance."""
    alive = (eigenvalues >= DEAD * eigenvalues[0]).sum() if len(eigenvalues) and eigenvalues[0] > 0 else 0
    return width - int(alive)


def spread(features: Array) -> float:
    """Variance between examples over the mean squared norm: 0 where all examples have one vector, 1 around zero."""
    x = torch.as_tensor(features).double()
    power = float(x.square().sum(1).mean()) if len(x) else 0.0
    return float((x - x.mean(0)).square().sum(1).mean()) / power if power > 0 else 0.0


def on_sphere(features: Array) -> Tensor:
    """(n, D) float64 vectors of length 1; a zero vector stays zero."""
    return torch.nn.functional.normalize(torch.as_tensor(features).double(), dim=1)


def alignment(first: Array, second: Array) -> float:
    """E‖x − x⁺‖² of paired features (n, D) on the sphere (Wang & Isola 2020, α = 2): 0 the same, 2 unrelated."""
    return float((on_sphere(first) - on_sphere(second)).square().sum(1).mean())


def uniformity(features: Array, t: float = 2.0) -> float:
    """log E exp(−t‖x − y‖²) over unlike pairs on the sphere (Wang & Isola 2020): 0 when collapsed, low when spread.

    NaN for a single example.
    """
    x = on_sphere(features)
    n = len(x)
    if n < 2:
        return math.nan
    squared = (2 - 2 * (x @ x.T)).clamp(min=0)
    away = -t * squared[~torch.eye(n, dtype=torch.bool, device=x.device)]
    return float(torch.logsumexp(away, 0)) - math.log(n * (n - 1))


def uniform(width: int, t: float = 2.0) -> float:
    """Uniformity of the uniform distribution on the sphere: log[exp(−2t) · ₀F₁(; D/2; t²)]."""
    return -2 * t + math.log(float(hyp0f1(width / 2, t * t)))


def lidar(views: Array, delta: float = 1e-4) -> float:
    """LiDAR (Thilak et al. 2024) of features (n, q, D): q views of each of n examples; between 1 and n − 1.

    The rank of Σ_w^−½ Σ_b Σ_w^−½ with Σ_w + δI; the views of one example must stand together. Raises `ValueError` for
    fewer than two examples or views.
    """
    x = torch.as_tensor(views).double()
    if x.ndim != 3 or min(x.shape[:2]) < 2:
        raise ValueError(f"views of shape {tuple(x.shape)}; LiDAR needs (n, q, D) with n and q at least 2")
    n, q, width = x.shape
    middle = x.mean(1)
    inner = (x - middle[:, None]).reshape(-1, width)
    within = inner.T @ inner / (n * (q - 1)) + delta * torch.eye(width, dtype=x.dtype, device=x.device)
    between = torch.cov(middle.T).reshape(width, width)
    factor = torch.linalg.cholesky(within)
    half = torch.linalg.solve_triangular(factor, between, upper=False)
    whole = torch.linalg.solve_triangular(factor, half.T, upper=False)
    values = torch.linalg.eigvalsh((whole + whole.T) / 2).clamp(min=0).cpu().numpy()
    return rank_of(values, EPSILON)


def figures(features: Array) -> dict[str, float]:
    """Every figure of features (n, D) that needs neither views nor labels, by name."""
    x = torch.as_tensor(features)
    values, raw = spectrum(x), spectrum(x, centred=False)
    sigma = np.sqrt(values)
    return {
        "rank": rank_of(sigma, EPSILON),
        "rank_uncentred": rank_of(np.sqrt(raw), EPSILON),
        "effective_rank": rank_of(sigma),
        "eigenvalue_rank": rank_of(values),
        "nesum": nesum(values),
        "participation": participation(values),
        "decay": decay(values),
        "dead": dead(values, x.shape[1]),
        "std": float(x.double().std(0, unbiased=False).mean()),
        "spread": spread(x),
        "uniformity": uniformity(x[:ROWS]),
    }


def gaussian_rank(n: int, width: int, seed: int = 0) -> float:
    """Centred RankMe of n standard normal vectors: the most that n examples can show of `width` directions."""
    rng = np.random.default_rng(seed)
    return rankme(rng.standard_normal((n, width)))


def _mean(x: Tensor) -> Tensor:
    """(D,) mean in float64, without widening all of it."""
    return torch.stack([part.double().sum(0) for part in x.split(ROWS)]).sum(0) / len(x)


def _tall(x: Tensor, middle: Tensor | None) -> Tensor:
    """(D, D) scatter matrix."""
    gram = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for part in x.split(ROWS):
        wide = part.double() if middle is None else part.double() - middle
        gram.addmm_(wide.T, wide)
    return gram


def _wide(x: Tensor, middle: Tensor | None) -> Tensor:
    """(n, n) inner products, whose eigenvalues are the same."""
    wide = x.double() if middle is None else x.double() - middle
    return wide @ wide.T


__all__ = [
    "alignment",
    "dead",
    "decay",
    "figures",
    "gaussian_rank",
    "lidar",
    "nesum",
    "on_sphere",
    "participation",
    "rank_of",
    "rankme",
    "spectrum",
    "spread",
    "uniform",
    "uniformity",
]
