"""What watching the representation costs: processor time of the looks over that of the whole training, in one run.

    OMP_NUM_THREADS=1 python benchmarks/monitor.py [study …]

Pre-trains shipped studies that need no file (default: digits) with the monitor as it comes, with and without a labelled
probe, and fails where its share of the run is above 1 %.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from exapt.studies.labelled import Labelled
from exapt.studies.reading import read_study
from exapt.training.monitor import Monitor
from exapt.training.pretrain import pretrain

BAR = 0.01


class Clock:
    """Adds up the processor time of calls."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*args: Any) -> Any:
            began = time.process_time()
            try:
                return work(*args)
            finally:
                self.seconds += time.process_time() - began

        return timed


def measure(name: str, probed: bool) -> float:
    """The monitor's share of one study's pre-training."""
    spec, clock = read_study(name), Clock()
    plain = {key: getattr(Monitor, key) for key in ("began", "glanced")}
    for key, work in plain.items():
        setattr(Monitor, key, clock.around(work))
    try:
        with tempfile.TemporaryDirectory() as folder:
            parts = (
                spec.corpus,
                spec.domain,
                spec.backbone,
                spec.objective,
                spec.pretrain,
                Path(folder) / "pretrained",
            )
            labelled = (lambda domain: Labelled(spec, domain).to_probe()) if probed else None
            began = time.process_time()
            done = pretrain(*parts, progress=False, labelled=labelled)  # type: ignore[arg-type]
            whole = time.process_time() - began
    finally:
        for key, work in plain.items():
            setattr(Monitor, key, work)
    share = clock.seconds / (whole - clock.seconds)
    looks = done.record["monitor"]["looks"]
    what = "with a labelled probe" if probed else "unlabelled"
    print(
        f"{name:<10} {what:<22} {looks:>3} looks in {done.record['steps']} steps: {share:.2%} of the rest", flush=True
    )
    return share


def main(names: list[str]) -> int:
    """Exit code: 0 where every share is within the bar."""
    shares = [measure(name, probed) for name in names or ["digits"] for probed in (False, True)]
    met = max(shares) <= BAR
    print(f"{'met' if met else 'MISSED'}: at most {BAR:.0%}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
