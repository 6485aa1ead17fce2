"""SimCLR training throughput against lightly: the same network, pictures, batch, augmentations, loss and optimiser.

    python -m venv /tmp/peer && /tmp/peer/bin/pip install lightly
    LIGHTLY_PYTHON=/tmp/peer/bin/python OMP_NUM_THREADS=1 python benchmarks/simclr.py

lightly runs in an environment of its own, as its example trains (`simclr_peer.py`): pictures through PIL and
torchvision one by one, then the network in float32; and once more with all that torch offers it, channels-last and
bfloat16. Both sides start from the same weights. Before anything is timed the features of the same pictures and the
NT-Xent loss of the same tensors must agree to 1e-5. Rounds take turns, in seconds of processor time with one thread
each; the ratio is the median over rounds. Pictures are CIFAR's where EXAPT_DATA holds `image/cifar10_12k.npz`, else
random ones: their speed is the same. Fails below 2 times lightly as its example has it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from exapt.backbones import ConvNet, ConvNetSpec
from exapt.backbones.convnet import strides_for
from exapt.domains import ImageDomain, ImageSpec, from_arrays
from exapt.objectives.simclr import SimclrSpec, nt_xent
from exapt.training.batches import Batches
from exapt.training.precision import choose_precision

BAR, TEMPERATURE = 2.0, 0.2
CLOSE = 1e-5


def pictures(count: int = 2048) -> np.ndarray:
    """(n, 32, 32, 3) bytes."""
    file = Path(os.environ.get("EXAPT_DATA", "")) / "image" / "cifar10_12k.npz"
    if file.is_file():
        return np.asarray(np.load(file)["x"][:count])
    return np.random.default_rng(0).integers(0, 256, size=(count, 32, 32, 3)).astype(np.uint8)


class Peer:
    """The other side, spoken to by lines."""

    def __init__(self, python: str, told: dict[str, Any]) -> None:
        script = Path(__file__).with_name("simclr_peer.py")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [python, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.ask(told)

    def ask(self, line: dict[str, Any]) -> dict[str, Any]:
        """One question, one answer."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        said = self.process.stdout.readline()
        if not said:
            raise SystemExit("the peer died; its own words stand above")
        return dict(json.loads(said))


def ours(domain: ImageDomain, raw: np.ndarray, network: ConvNet, batch: int) -> Callable[[], None]:
    """A training step of exapt."""
    data = domain.read(from_arrays(raw))
    objective = SimclrSpec(temperature=TEMPERATURE).build(domain, network, seed=0)
    parameters = [*network.parameters(), *objective.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01, fused=True)
    precision = choose_precision("auto", network.width, 2 * batch * domain.elements, torch.device("cpu"))
    plan, rng = Batches(data, domain.collate, batch=batch), torch.Generator().manual_seed(0)
    feed = (plan.load(data, places) for epoch in range(10**6) for places in plan.plan(epoch) if len(places) == batch)

    def step() -> None:
        with torch.autocast("cpu", precision, enabled=precision != torch.float32):
            loss = objective(network, next(feed), rng)
        loss.value.backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


def check(peer: Peer, domain: ImageDomain, raw: np.ndarray, network: ConvNet, folder: Path) -> None:
    """The same features from the same pictures, the same loss from the same tensors."""
    data = domain.read(from_arrays(raw[:8]))
    batch = domain.collate([data[i] for i in range(8)])
    np.save(folder / "batch.npy", batch.inputs.numpy())
    with torch.no_grad():
        mine = network(batch).pooled("mean")
    theirs = torch.tensor(peer.ask({"features": str(folder / "batch.npy")})["features"])
    apart = float((mine - theirs).abs().max())
    pair = torch.randn(2, 64, 128, generator=torch.Generator().manual_seed(0))
    np.save(folder / "pair.npy", pair.numpy())
    own, other = float(nt_xent(*pair, TEMPERATURE)), peer.ask({"loss": str(folder / "pair.npy")})["loss"]
    print(f"features apart by {apart:.1e}; NT-Xent: exapt {own:.7f}, lightly {other:.7f}", flush=True)
    assert apart < CLOSE, apart
    assert abs(own - other) < CLOSE * own, (own, other)


def main() -> int:
    """Exit code: 0 where the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="micro")
    parser.add_argument("--patch", type=int, default=8)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    options = parser.parse_args()
    python = os.environ.get("LIGHTLY_PYTHON")
    if not python:
        print("LIGHTLY_PYTHON names no interpreter with lightly: nothing to compare with", file=sys.stderr)
        return 2
    torch.set_num_threads(1)
    raw = pictures()
    domain = ImageSpec(patch=options.patch).build(from_arrays(raw))
    network = ConvNetSpec(size=options.size).build(domain.inputs, seed=0)
    for layer in network.layers:  # what starts at zero would hide a difference
        torch.nn.init.normal_(layer.conv2.weight, std=0.05, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "raw.npy", raw)
        torch.save(network.state_dict(), folder / "weights.pt")
        width, depth, stages = network.spec.shape
        told = {"pictures": str(folder / "raw.npy"), "weights": str(folder / "weights.pt"), "batch": options.batch}
        told |= {"width": width, "depth": depth, "strides": strides_for(domain.inputs, stages)}
        told |= {"temperature": TEMPERATURE}
        peers = {best: Peer(python, told | {"best": best}) for best in (False, True)}
        check(peers[False], domain, raw, network, folder)
        return compare(ours(domain, raw, network, options.batch), peers, options)


def compare(step: Callable[[], None], peers: dict[bool, Peer], options: argparse.Namespace) -> int:
    """Rounds in turns, and a line for each side."""

    def mine() -> float:
        start = time.process_time()
        for _ in range(options.steps):
            step()
        return time.process_time() - start

    sides: dict[str, Callable[[], float]] = {
        "exapt": mine,
        "lightly, as its example": lambda: float(peers[False].ask({"steps": options.steps})["seconds"]),
        "lightly, channels last, bfloat16": lambda: float(peers[True].ask({"steps": options.steps})["seconds"]),
    }
    for run in sides.values():
        run()
    seconds = np.array([[run() for run in sides.values()] for _ in range(options.rounds)])
    for peer in peers.values():
        peer.process.kill()
    ratios = seconds / seconds[:, :1]
    for name, taken, ratio in zip(sides, seconds.T, ratios.T, strict=True):
        rate = options.batch * options.steps / np.median(taken)
        print(f"{name:<34}{rate:8.0f} pictures/s  {np.median(ratio):6.2f} ({ratio.min():.2f} to {ratio.max():.2f})")
    met = float(np.median(ratios[:, 1])) >= BAR
    print(f"{'met' if met else 'MISSED'}: {BAR:g} times lightly as its example has it")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
