"""Audits: one question each, one finding each, each with a self-test on planted cases."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.probes import ProbesAudit
from exapt.audits.transfer import TransferAudit

AuditSpec = Annotated[TransferAudit | ProbesAudit, Field(discriminator="kind")]
"""Any audit, told apart by `kind`."""

AUDITS: dict[str, type[Audit]] = {audit.model_fields["kind"].default: audit for audit in (TransferAudit, ProbesAudit)}
"""Every audit by its kind."""

__all__ = ["AUDITS", "Audit", "AuditSpec", "ProbesAudit", "Subject", "Trial", "TransferAudit"]
