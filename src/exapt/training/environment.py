"""What a run stood on: versions, machine and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

RECORDED = ("exapt", "torch", "numpy", "safetensors", "tokenizers", "transformers", "accelerate")


def versions() -> dict[str, str]:
    """Installed versions of what decides a run's result; a package that is not there is left out."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(device: torch.device, processes: int = 1) -> dict[str, Any]:
    """The device a run used, and how many threads and processes."""
    name = platform.processor() or platform.machine()
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    facts = {"device": device.type, "name": name, "system": platform.system(), "processes": processes}
    return facts | {"cores": os.cpu_count(), "threads": torch.get_num_threads()}


def commit() -> str | None:
    """The git commit of the working folder, with `+` when tracked files have changes; None outside a repository."""
    try:
        head, changes = (_git(*words) for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "-uno")))
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changes else "")


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
