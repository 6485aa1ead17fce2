"""The blind baseline: whether members and non-members differ before any model is asked.

A membership attack on a split that a classifier of the inputs alone can tell apart measures the split, not the model
(Das et al. 2024, arXiv 2406.16201). Members must be a random part of one population.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from exapt.errors import InputError
from exapt.evidence.roc import auc, auc_interval

LIMIT = 0.6
"""The AUC of a blind classifier above which a split is no random one."""


@dataclass(frozen=True)
class Blind:
    """How well inputs alone tell membership, by cross-validation."""

    auc: float
    low: float
    high: float

    @property
    def fair(self) -> bool:
        """Whether nothing speaks against a random split."""
        return not (self.auc > LIMIT and self.low > 0.5)


def blind_baseline(features: np.ndarray, member: np.ndarray, folds: int = 5, seed: int = 0) -> Blind:
    """Logistic regression of membership (n,) on features (n, D) that no audited model made, scored out of fold."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if min(member.sum(), (~member).sum()) < folds:
        raise InputError(f"blind baseline: needs {folds} members and {folds} non-members")
    scores = np.zeros(len(member))
    parts = StratifiedKFold(folds, shuffle=True, random_state=seed).split(features, member)
    for train, test in parts:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        margins = model.fit(features[train], member[train]).decision_function(features[test])
        scores[test] = margins
    low, high = auc_interval(scores, member)
    return Blind(auc(scores, member), low, high)


def require_fair(blind: Blind) -> None:
    """Raise `InputError` where members and non-members are not drawn alike."""
    if not blind.fair:
        raise InputError(
            f"members and non-members are told apart by their inputs alone (AUC {blind.auc:.2f}, 95 % interval "
            f"{blind.low:.2f} to {blind.high:.2f}); no attack on such a split says anything about a model: draw both "
            "at random from one set"
        )
