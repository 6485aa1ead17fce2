"""From a start and a few labels to a fitted model: probes, neighbours, fine-tuning, classical baselines."""

from exapt.adaptation.classical import ClassicalSpec
from exapt.adaptation.features import FeatureCache, embed, embed_elements
from exapt.adaptation.finetune import FinetuneSpec
from exapt.adaptation.fit import AdaptSpec, fit, load_fitted
from exapt.adaptation.fitted import Fitted, Start
from exapt.adaptation.knn import KnnSpec
from exapt.adaptation.linear import ProbeResult, probe_many
from exapt.adaptation.private import PrivateProbeSpec
from exapt.adaptation.probe import ProbeSpec, fit_probes
from exapt.adaptation.stack import StackSpec

__all__ = [
    "AdaptSpec",
    "ClassicalSpec",
    "FeatureCache",
    "FinetuneSpec",
    "Fitted",
    "KnnSpec",
    "PrivateProbeSpec",
    "ProbeResult",
    "ProbeSpec",
    "StackSpec",
    "Start",
    "embed",
    "embed_elements",
    "fit",
    "fit_probes",
    "load_fitted",
    "probe_many",
]
