"""The alarms in a pre-training's record, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def alarms_of(record: Mapping[str, Any]) -> list[str]:
    """One sentence an alarm: of the monitor, and of whatever else watched the run."""
    watched = [record.get("monitor") or {}, *(record.get("watched") or {}).values()]
    found = [alarm for facts in watched for alarm in [facts.get("alarm"), *facts.get("alarms", ())] if alarm]
    return [f"step {alarm['step']}: {alarm['state']}: {alarm['why']}." for alarm in found]
