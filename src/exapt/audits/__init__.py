"""Audits: one question each, one finding each, each with a self-test on planted cases."""

from __future__ import annotations

from typing import Annotated, get_args

from pydantic import Field

from exapt.audits.attribution import AttributionAudit
from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.collapse import CollapseAudit
from exapt.audits.contamination import ContaminationAudit
from exapt.audits.forgetting import ForgettingAudit
from exapt.audits.invariance import InvarianceAudit
from exapt.audits.prior import PriorAudit
from exapt.audits.privacy import PrivacyAudit
from exapt.audits.probes import ProbesAudit
from exapt.audits.pruning import PruningAudit
from exapt.audits.schedules import SchedulesAudit
from exapt.audits.signal import SignalAudit
from exapt.audits.transfer import TransferAudit

AuditSpec = Annotated[
    AttributionAudit
    | CollapseAudit
    | ContaminationAudit
    | ForgettingAudit
    | InvarianceAudit
    | PriorAudit
    | PrivacyAudit
    | ProbesAudit
    | PruningAudit
    | SchedulesAudit
    | SignalAudit
    | TransferAudit,
    Field(discriminator="kind"),
]
"""Any audit, told apart by `kind`."""

AUDITS: dict[str, type[Audit]] = {
    audit.model_fields["kind"].default: audit for audit in get_args(get_args(AuditSpec)[0])
}
"""Every audit by its kind."""

__all__ = [
    "AUDITS",
    "AttributionAudit",
    "Audit",
    "AuditSpec",
    "CollapseAudit",
    "ContaminationAudit",
    "ForgettingAudit",
    "InvarianceAudit",
    "PriorAudit",
    "PrivacyAudit",
    "ProbesAudit",
    "PruningAudit",
    "SchedulesAudit",
    "SignalAudit",
    "Subject",
    "TransferAudit",
    "Trial",
]
