"""From a start and a few labels to a fitted model: probes, neighbours, fine-tuning, classical baselines."""

from exapt.adaptation.anchors import AnchorSpec
from exapt.adaptation.classical import ClassicalSpec
from exapt.adaptation.ewc import EwcSpec
from exapt.adaptation.features import FeatureCache, embed, embed_elements
from exapt.adaptation.finetune import FinetuneSpec
from exapt.adaptation.fit import AdaptSpec, fit, load_fitted
from exapt.adaptation.fitted import Fitted, Start
from exapt.adaptation.knn import KnnSpec
from exapt.adaptation.l2sp import L2spSpec
from exapt.adaptation.law import LawSpec
from exapt.adaptation.linear import ProbeResult, probe_many
from exapt.adaptation.lora import LoraSpec
from exapt.adaptation.lwf import LwfSpec
from exapt.adaptation.origin import Origin, Supervised, pretraining_origin
from exapt.adaptation.pair_probe import MapsSpec
from exapt.adaptation.private import PrivateProbeSpec
from exapt.adaptation.probe import ProbeSpec, fit_probes
from exapt.adaptation.replay import ReplaySpec
from exapt.adaptation.stack import StackSpec

__all__ = [
    "AdaptSpec",
    "AnchorSpec",
    "ClassicalSpec",
    "EwcSpec",
    "FeatureCache",
    "FinetuneSpec",
    "Fitted",
    "KnnSpec",
    "PrivateProbeSpec",
    "L2spSpec",
    "LawSpec",
    "LoraSpec",
    "LwfSpec",
    "MapsSpec",
    "Origin",
    "ProbeResult",
    "ProbeSpec",
    "ReplaySpec",
    "StackSpec",
    "Start",
    "Supervised",
    "embed",
    "embed_elements",
    "fit",
    "fit_probes",
    "load_fitted",
    "pretraining_origin",
    "probe_many",
]
