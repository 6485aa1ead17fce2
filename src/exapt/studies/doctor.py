"""What is installed, what each extra enables, and what this machine offers."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch

from exapt.training.environment import hardware, versions

EXTRAS = {
    "text": (
        ("tokenizers", "datasets", "transformers", "pyarrow"),
        "byte-pair tokens, parquet, Hugging Face data and models",
    ),
    "vision": (
        ("PIL", "pyarrow", "kornia", "faster_coco_eval", "skimage"),
        "picture files, parquet, views by kornia, the scores of detection, scikit-image's pictures",
    ),
    "graph": (("torch_geometric", "networkx"), "graphs and graph networks"),
    "chem": (
        ("rdkit", "ase", "vesin", "tblite", "selfies"),
        "SMILES and SDF, ASE's formats, periodic neighbours, xTB labels, SELFIES",
    ),
    "engineering": (("ht", "pint"), "heat-transfer correlations as sources, units of columns"),
    "track": (("tensorboard",), "TensorBoard logs"),
    "adapt": (("peft",), "LoRA"),
    "privacy": (("opacus",), "private training"),
    "audit": (("rensa",), "near-duplicates by MinHash"),
}


def diagnosis() -> dict[str, Any]:
    """Plain facts for `exapt doctor`."""
    extras = {
        name: {"missing": [p for p in packages if find_spec(p) is None], "enables": what}
        for name, (packages, what) in EXTRAS.items()
    }
    machine = hardware(torch.device("cpu"))
    bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported() if torch.backends.mkldnn.is_available() else False
    accelerator = torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"
    return {
        "versions": versions(),
        "machine": {k: machine[k] for k in ("name", "system", "cores", "threads")} | {"bfloat16": bool(bf16)},
        "accelerator": accelerator,
        "extras": extras,
    }
