"""Audits: one question each, one finding each, each with a self-test on planted cases."""

from __future__ import annotations

from exapt.audits.base import Audit, Subject, Trial
from exapt.audits.transfer import TransferAudit

AuditSpec = TransferAudit
"""Any audit, told apart by `kind`."""

AUDITS: dict[str, type[Audit]] = {audit.model_fields["kind"].default: audit for audit in (TransferAudit,)}
"""Every audit by its kind."""

__all__ = ["AUDITS", "Audit", "AuditSpec", "Subject", "TransferAudit", "Trial"]
