"""Labelled tasks: one spec a file, and their union by kind."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from exapt.tasks.base import Task
from exapt.tasks.classify import ClassifySpec, ClassifyTask
from exapt.tasks.contacts import ContactsSpec, ContactsTask
from exapt.tasks.detect import DetectSpec, DetectTask
from exapt.tasks.heads import HeadSpec
from exapt.tasks.multilabel import MultiLabelTask
from exapt.tasks.potential import PotentialTask, PotentialTaskSpec
from exapt.tasks.regress import RegressSpec, RegressTask
from exapt.tasks.tag import TagSpec, TagTask

AnyTask = ClassifySpec | RegressSpec | TagSpec | DetectSpec | PotentialTaskSpec | ContactsSpec
TaskSpec = Annotated[AnyTask, Field(discriminator="kind")]
"""Any task, told apart by `kind`."""


def load_task(data: Mapping[str, Any]) -> Task:
    """The task again from what `Task.plain` gave."""
    adapter: TypeAdapter[AnyTask] = TypeAdapter(TaskSpec)
    spec = adapter.validate_python(data["spec"])
    if isinstance(spec, RegressSpec):
        return RegressTask.restored(spec, data)
    if isinstance(spec, DetectSpec):
        return DetectTask.restored(spec, data)
    if isinstance(spec, PotentialTaskSpec):
        return PotentialTask.restored(spec, data)
    if isinstance(spec, ContactsSpec):
        return ContactsTask(spec)
    return _of_classes(spec, data)


def _of_classes(spec: ClassifySpec | TagSpec, data: Mapping[str, Any]) -> Task:
    if isinstance(spec, TagSpec):
        return TagTask(spec, list(data["classes"]))
    if "columns" in data:
        return MultiLabelTask(spec, list(data["classes"]), list(data["columns"]))
    return ClassifyTask(spec, list(data["classes"]))


__all__ = [
    "ClassifySpec",
    "ContactsSpec",
    "DetectSpec",
    "HeadSpec",
    "PotentialTaskSpec",
    "RegressSpec",
    "TagSpec",
    "Task",
    "TaskSpec",
    "load_task",
]
