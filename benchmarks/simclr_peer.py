"""lightly's SimCLR as its own examples train it, in an environment of its own; started by `simclr.py`, not by hand.

Reads one line of JSON at a time and answers with one: `{"loss": file}`, `{"features": file}` or `{"steps": n}`. The
network has the architecture and, from `weights`, the weights of exapt's convnet, written out in plain torch.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


def shim() -> None:
    """Schemas of torchvision's own operators, so that it imports beside a torch that its binaries were not built for.

    None of them is called here.
    """
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms", "roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "deform_conv2d"):
        library.define(f"{name}(Tensor input) -> Tensor")
        library.define(f"_{name}_backward(Tensor input) -> Tensor")
    globals()["_kept"] = library


class Layer(nn.Module):
    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.norm1, self.norm2 = nn.GroupNorm(inner // 8, inner), nn.GroupNorm(outer // 8, outer)
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.past = nn.Conv2d(inner, outer, 1, bias=False) if inner != outer or stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        ready = F.relu(self.norm1(x))
        out = self.conv2(F.relu(self.norm2(self.conv1(ready))))
        return out + (x if self.past is None else self.past(F.avg_pool2d(ready, self.stride)))


class Network(nn.Module):
    """Pictures (B, 3, H, W) to mean features (B, D)."""

    def __init__(self, width: int, depth: int, strides: list[int]) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, strides[0], 1, bias=False)
        layers, inner = [], width
        for stage, stride in enumerate(strides[1:]):
            for number in range(depth):
                layers.append(Layer(inner, width * 2**stage, stride if number == 0 else 1))
                inner = width * 2**stage
        self.layers, self.final_norm = nn.ModuleList(layers), nn.GroupNorm(inner // 8, inner)
        self.width = inner

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return F.relu(self.final_norm(x)).mean((2, 3))


class Training:
    """Batches for ever and a step, as lightly's own example has them."""

    def __init__(self, told: dict[str, Any]) -> None:
        from lightly.loss import NTXentLoss
        from lightly.models.modules import SimCLRProjectionHead
        from lightly.transforms import SimCLRTransform
        from PIL import Image

        raw = np.load(told["pictures"])
        transform = SimCLRTransform(input_size=raw.shape[1], cj_strength=0.5, gaussian_blur=0.0, min_scale=0.2)

        class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
            def __len__(self) -> int:
                return len(raw)

            def __getitem__(self, i: int) -> list[Tensor]:
                views: list[Tensor] = transform(Image.fromarray(raw[i]))
                return views

        self.loader = torch.utils.data.DataLoader(
            Pictures(), told["batch"], shuffle=True, drop_last=True, num_workers=0
        )
        self.network = Network(told["width"], told["depth"], told["strides"])
        self.network.load_state_dict(torch.load(told["weights"], weights_only=True))
        self.head = SimCLRProjectionHead(self.network.width, max(128, 4 * self.network.width), 128)
        self.loss = NTXentLoss(told["temperature"])
        self.half = bool(told["best"])
        if self.half:
            self.network = self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        parameters = [*self.network.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
        self.batches = self.forever()

    def forever(self) -> Iterator[list[Tensor]]:
        while True:
            yield from self.loader

    def step(self) -> None:
        first, second = next(self.batches)
        if self.half:
            first, second = (view.contiguous(memory_format=torch.channels_last) for view in (first, second))
        with torch.autocast("cpu", torch.bfloat16, enabled=self.half):
            z0, z1 = (self.head(self.network(view)) for view in (first, second))
        loss = self.loss(z0.float(), z1.float())
        loss.backward()
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


def answer(training: Training, asked: dict[str, Any]) -> dict[str, Any]:
    """What one line is answered with."""
    if "loss" in asked:
        first, second = torch.from_numpy(np.load(asked["loss"]))
        return {"loss": float(training.loss(first, second))}
    if "features" in asked:
        with torch.no_grad():
            return {"features": training.network(torch.from_numpy(np.load(asked["features"]))).tolist()}
    start = time.process_time()
    for _ in range(asked["steps"]):
        training.step()
    return {"seconds": time.process_time() - start}


def main() -> None:
    torch.set_num_threads(1)
    shim()
    training = Training(json.loads(sys.stdin.readline()))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(training, json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
