"""Run under torchrun by `test_ranks.py`: trains a toy and has the main process write what came of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter

sys.path.insert(0, str(Path(__file__).parent))
from toy_training import Toy, dataset, fit, held_out

from exapt.backbones import TransformerSpec
from exapt.domains import TextSpec, from_arrays
from exapt.objectives import ObjectiveSpec
from exapt.training.launch import launch
from exapt.training.pretrain import pretrain
from exapt.training.spec import TrainingSpec
from exapt.training.weights import tensors_of, write_tensors


def whole(folder: Path, spec: dict[str, Any]) -> None:
    """Pre-train a small transformer; the artifact is the result."""
    texts = [f"the {animal} sat on the mat number {i}" for i in range(40) for animal in ("cat", "dog")]
    network = TransformerSpec(size="nano", width=32, depth=2, heads=2)
    objective = TypeAdapter(ObjectiveSpec).validate_python(spec.pop("objective", {"kind": "masked"}))
    training = TrainingSpec.parse({"device": "cpu", "precision": "float32", **spec})
    domain = TextSpec(tokens="characters", length=32)
    pretrain(from_arrays(texts), domain, network, objective, training, folder, progress=False)


def toy(out: Path, spec: dict[str, Any]) -> None:
    """Train a toy, perhaps only up to some call of its forward."""
    here = launch("cpu", spec.get("parallel", "data"))
    model = Toy(die_at=spec.pop("die_at", 0))
    folder = out / "run" if spec.pop("folder", False) else None
    try:
        done = fit(model, folder, dataset(96), evaluate=held_out(model), precision="float32", **spec)
    except KeyboardInterrupt:
        return
    weights = tensors_of(model)
    if here.main:
        write_tensors(out / "weights.safetensors", weights, "backbone")
        (out / "done.json").write_text(json.dumps({"history": done.history, "best": done.best}))


def main() -> None:
    torch.set_num_threads(1)
    for name, spec in json.loads(sys.argv[2]).items():
        out = Path(sys.argv[1]) / name
        if spec.pop("pretrain", False):
            whole(out / "run", spec)
        else:
            toy(out, spec)


if __name__ == "__main__":
    main()
