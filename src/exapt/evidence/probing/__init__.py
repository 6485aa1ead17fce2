"""How a factor sits in features: how strongly, in how few dimensions, how easily read, and how much of it is the probe.

Everything here takes plain arrays: features (n, D), a factor as class numbers (n,) from 0 with −1 where it is not
known, and splits as pairs of places (train, test). Ranking, scaling and fitting use the training places alone.
"""

from exapt.evidence.probing.control import Selectivity, control_labels, duplicate_types, kmeans_types, selectivity
from exapt.evidence.probing.disentangled import FAMILIES, Disentanglement, disentanglement, from_importance, importance
from exapt.evidence.probing.factor import Examined, Judgement, examine, judge_factor
from exapt.evidence.probing.linear import Split, fit_linear, score_linear
from exapt.evidence.probing.online import BLOCKS, OnlineCode, online_code
from exapt.evidence.probing.ranking import RANKINGS, Ranking, rank
from exapt.evidence.probing.sparse import SparseCurve, sparse_curve

__all__ = [
    "BLOCKS",
    "FAMILIES",
    "RANKINGS",
    "Disentanglement",
    "Examined",
    "Judgement",
    "OnlineCode",
    "Ranking",
    "Selectivity",
    "SparseCurve",
    "Split",
    "control_labels",
    "disentanglement",
    "duplicate_types",
    "examine",
    "fit_linear",
    "from_importance",
    "importance",
    "judge_factor",
    "kmeans_types",
    "online_code",
    "rank",
    "score_linear",
    "selectivity",
    "sparse_curve",
]
