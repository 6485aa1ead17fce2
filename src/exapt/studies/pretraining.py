"""The part of a study that pre-trains, on its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from exapt.backbones import BackboneSpec, TransformerSpec
from exapt.domains import DomainSpec
from exapt.domains.base import Source
from exapt.errors import InputError
from exapt.objectives import MaskedSpec, ObjectiveSpec
from exapt.spec import Spec
from exapt.studies.reading import REQUIRED
from exapt.studies.spec import StudySpec
from exapt.training.spec import TrainingSpec


class PretrainSpec(Spec):
    """What `exapt pretrain` reads: the same keys as a study's, with or without the labelled part."""

    name: str = Field(default="pretraining", pattern=r"^[a-z0-9][a-z0-9._-]*$")
    domain: DomainSpec
    corpus: Source
    backbone: BackboneSpec = TransformerSpec()
    objective: ObjectiveSpec = MaskedSpec()
    pretrain: TrainingSpec = TrainingSpec(epochs=1)

    @model_validator(mode="after")
    def _served(self) -> Self:
        self.objective.check_network(self.backbone)
        return self

    @classmethod
    def of(cls, data: Mapping[str, Any], where: str) -> PretrainSpec:
        """From plain data; keys that only a whole study has are left aside, unknown ones refused."""
        own = {k: v for k, v in data.items() if k in cls.model_fields or k not in StudySpec.model_fields}
        spec = cls.parse(own, where)
        keys = ["corpus.path", *(f"corpus.also.{place}.path" for place in range(len(spec.corpus.also)))]
        for key, source in zip(keys, [spec.corpus, *spec.corpus.also], strict=True):
            if source.path == REQUIRED:
                needed = (data.get("needs") or {}).get(key, "the corpus")
                raise InputError(f"{where}: {key} is not set. It needs {needed}. Add --set {key}=YOUR_FILE")
        return spec
