"""Potentials against mace-torch and SchNetPack: training atoms a second, and errors after equal time.

    python -m venv /tmp/mace && /tmp/mace/bin/pip install mace-torch
    python -m venv /tmp/spk && /tmp/spk/bin/pip install schnetpack
    OMP_NUM_THREADS=1 python benchmarks/potential_peers.py --mace /tmp/mace/bin/python --schnetpack /tmp/spk/bin/python
    … --frames 3BPA_train_300K.extxyz.gz --fit 60 --seeds 3

The peers run in environments of their own (`potential_peer.py`); frames, cut-off (5 Å), batch, loss, loop and clock are
the same (`potential_loop.py`), all in float32 with one thread. Sides take turns, in processor seconds of whole steps
(loss, its gradient, optimiser) on batches that are ready; ratios are medians over rounds with their range. `--fit`
trains exapt and the peers for so many processor seconds each, batching included, at the best rate of a search with a
seed of its own, and tells errors on frames held out. Frames are a file's, else distorted
molecules labelled by GFN2-xTB. Fails below 3 times MACE 32x0e or 1.2 times SchNetPack at the same width and depth, or
where SchNetPack's forces are better after equal time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from exapt.backbones import EquivariantSpec
from exapt.domains import AtomsSpec, Source, from_arrays
from exapt.domains.structure import Structure, unpacked
from exapt.objectives.energies import FORCES, EnergyHead, fit_references, surface
from exapt.objectives.potential_labels import composition, typical_force
from exapt.tasks import PotentialTaskSpec
from exapt.training.optimiser import adamw, parameter_groups
from exapt.training.spec import TrainingSpec
from potential_loop import Clocked, Frames, Side, fit

CUTOFF = 5.0
OVER_MACE, OVER_SCHNETPACK = 3.0, 1.2
SIZES = {"nano": 32, "micro": 64, "tiny": 128}
RATES = {"exapt": (2e-3, 4e-3), "schnetpack": (1e-3, 2e-3), "mace": (1e-2, 2e-2)}
"""Where the search of each one's rate begins; it goes on, by factors of 2, as long as the best stands at an end."""
MOST_RATES, PILOT_SEED = 5, 100


class Exapt(Side):
    """The equivariant backbone and a potential's head."""

    clip = 1.0

    def __init__(self, size: str, seed: int) -> None:
        self.domain = AtomsSpec(cutoff=CUTOFF).build()
        backbone = EquivariantSpec.parse({"size": size}).build(self.domain.inputs, seed=seed)
        self.backbone, self.head = backbone, EnergyHead(backbone.width, seed=seed)
        self.network, self.read = nn.ModuleList([self.backbone, self.head]), {}

    def batch(self, frames: Frames, places: Sequence[int]) -> Any:
        if id(frames) not in self.read:
            parts = [frames.part(i) for i in range(len(frames))]
            structures = [Structure(frames.numbers[p], frames.positions[None, p]) for p in parts]
            self.read[id(frames)] = self.domain.read(from_arrays(structures))
        return self.domain.collate([self.read[id(frames)][p] for p in places])

    def answer(self, batch: Any) -> tuple[Tensor, Tensor]:
        with torch.set_grad_enabled(self.network.training):
            rows = surface(self.backbone, self.head, batch)
        real = torch.arange(rows.shape[1] - FORCES) < 3 * batch.lengths[:, None]
        return rows[:, 1].float(), rows[:, FORCES:][real].reshape(-1, 3).float()

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        spec = TrainingSpec(steps=1, lr=rate, schedule={"warmup": 0})
        return adamw(parameter_groups(self.network.parameters(), rate, spec.weight_decay), spec)


class Peer:
    """A side in another process, spoken to by lines."""

    def __init__(self, python: str, told: dict[str, Any]) -> None:
        script = Path(__file__).with_name("potential_peer.py")
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [python, "-W", "ignore", str(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.facts = self.ask(told)

    def ask(self, line: dict[str, Any]) -> dict[str, Any]:
        """One question, one answer; what the library prints beside it is passed over."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()
        for said in self.process.stdout:
            if said.startswith("{"):
                return dict(json.loads(said))
        raise SystemExit("the peer died; its own words stand above")


def frames_of(file: str | None, train: int, test: int) -> tuple[Frames, Frames, float]:
    """Frames to train on and to judge by, in typical forces, and what such a force is in eV/Å."""
    domain = AtomsSpec(cutoff=CUTOFF).build()
    data = domain.read(Source(path=file or "xtb:small-organics"))
    order = np.random.default_rng(0).permutation(len(data))
    if len(order) < train + test:
        raise SystemExit(f"{len(order)} frames, but {train} to train on and {test} to judge by were asked for")
    rows = PotentialTaskSpec().rows(data)
    one, other = order[:train], order[train : train + test]
    energies, counts = rows[:, 1:3].sum(1), composition(data)
    scale = typical_force(rows[one])
    energies = (energies - counts @ fit_references(counts[one], energies[one])) / scale

    def part(places: np.ndarray) -> Frames:
        structures = [unpacked(data.store[int(p)]) for p in data.rows[places]]
        lengths = [len(s) for s in structures]
        forces = [rows[p, FORCES : FORCES + 3 * n].reshape(n, 3) for p, n in zip(places, lengths, strict=True)]
        return Frames(
            np.concatenate([s.numbers for s in structures]),
            np.concatenate([s.positions[0] for s in structures]),
            np.concatenate([[0], np.cumsum(lengths)]),
            energies[places],
            np.concatenate(forces) / scale,
        )

    return part(one), part(other), scale


def main() -> int:
    """Exit code: 0 where all that was measured meets its bar."""
    options = asked()
    torch.set_num_threads(1)
    train, test, scale = frames_of(options.frames, options.train, options.test)
    atoms = int(train.offsets[4 * options.batch])
    print(f"{len(train)} frames; a step has about {atoms // 4} atoms; a typical force is {scale:.3f} eV/Å", flush=True)
    with tempfile.TemporaryDirectory() as name:
        told = {"cutoff": CUTOFF, "batch": options.batch}
        for part, frames in (("train", train), ("test", test)):
            frames.save(Path(name) / f"{part}.npz")
            told[part] = str(Path(name) / f"{part}.npz")
        sides = {f"exapt {s}": Exapt(s, 0) for s in options.sizes}
        told["neighbours"] = float(
            len(sides[f"exapt {options.sizes[0]}"].batch(train, [0]).edges[0]) / train.offsets[1]
        )
        peers = started(options, told)
        failed = compare(sides, peers, train, options, atoms)
        if options.fit:
            failed |= equal_time(train, test, peers, options, scale)
    for peer in peers.values():
        peer.process.kill()
    return int(failed)


def started(options: argparse.Namespace, told: dict[str, Any]) -> dict[str, Peer]:
    """The peers whose interpreters are given."""
    peers = {}
    for size in options.sizes if options.schnetpack else ():
        shape = {"width": SIZES[size], "depth": 3}
        peers[f"schnetpack {size}"] = Peer(options.schnetpack, told | shape)
    for irreps in options.irreps if options.mace else ():
        peers[f"mace {irreps}"] = Peer(options.mace, told | {"irreps": irreps})
    return peers


def compare(
    sides: dict[str, Exapt], peers: dict[str, Peer], train: Frames, options: argparse.Namespace, atoms: int
) -> bool:
    """Rounds in turns, a line for each side; whether a bar is missed."""
    ours = {name: Clocked(side, train, options.batch) for name, side in sides.items()}
    sizes = {n: side.size() for n, side in sides.items()} | {n: p.facts["parameters"] for n, p in peers.items()}
    clocks: dict[str, Callable[[], float]] = {name: clocked.seconds for name, clocked in ours.items()}
    for name, peer in peers.items():
        clocks[name] = lambda peer=peer: float(peer.ask({"clock": True})["seconds"])  # type: ignore[misc]
    seconds = {name: [] for name in clocks}  # type: dict[str, list[float]]
    for _ in range(options.rounds):
        for name, clock in clocks.items():
            seconds[name].append(clock())
    for name, taken in seconds.items():
        rate = atoms / float(np.median(taken))
        torch_version = peers[name].facts["torch"] if name in peers else torch.__version__
        print(f"{name:<22}{sizes[name]:>9,} parameters {rate:>8,.0f} atoms/s   torch {torch_version}")
    missed = False
    for name in ours:
        for peer in peers:
            same = peer == name.replace("exapt", "schnetpack")
            if same or peer.startswith("mace"):
                ratio = np.array(seconds[peer]) / np.array(seconds[name])
                bar = OVER_SCHNETPACK if same else OVER_MACE
                missed |= float(np.median(ratio)) < bar and (same or (peer, name) == ("mace 32x0e", "exapt micro"))
                print(f"{name} over {peer}: ×{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})")
    return missed


def equal_time(train: Frames, test: Frames, peers: dict[str, Peer], options: argparse.Namespace, scale: float) -> bool:
    """Errors on held-out frames after as much time; whether SchNetPack's forces are better."""
    print(f"after {options.fit:g} s of processor time each, {len(test)} frames held out, meV/Å and meV an atom:")

    def ours(size: str) -> Callable[[float, float, int], dict[str, Any]]:
        return lambda rate, seconds, seed: fit(Exapt(size, seed), train, test, options.batch, rate, seconds, seed)

    def theirs(peer: Peer) -> Callable[[float, float, int], dict[str, Any]]:
        return lambda rate, seconds, seed: peer.ask({"fit": {"rate": rate, "seconds": seconds}, "seed": seed})

    runs = {f"exapt {size}": ours(size) for size in options.sizes if f"schnetpack {size}" in peers}
    runs |= {name: theirs(peer) for name, peer in peers.items()}
    found = {}
    for name, run in runs.items():
        tried = search(
            lambda r, run=run: run(r, options.fit * options.pilot, PILOT_SEED)["forces"], RATES[name.split()[0]]
        )
        best = min(tried, key=tried.__getitem__)
        print(f"{name}: rates " + ", ".join(f"{r:g} → {1000 * scale * e:.1f}" for r, e in tried.items()), flush=True)
        done = [run(best, options.fit, seed) for seed in range(options.seeds)]
        found[name] = np.array([one["forces"] for one in done]) * scale * 1000
        energies = np.mean([one["energies"] for one in done]) * scale * 1000
        each = ", ".join(f"{e:.1f}" for e in found[name])
        print(f"  rate {best:g}: forces {each}; energies {energies:.2f}; {done[0]['steps']} steps", flush=True)
    pairs = [(found[n], found[n.replace("exapt", "schnetpack")]) for n in found if n.startswith("exapt")]
    return any(mine.mean() > other.mean() for mine, other in pairs)


def search(error: Callable[[float], float], rates: Sequence[float]) -> dict[float, float]:
    """The error at every rate tried, in rising order."""
    tried = {rate: error(rate) for rate in rates}
    while len(tried) < MOST_RATES:
        best = min(tried, key=tried.__getitem__)
        if best not in (min(tried), max(tried)):
            break
        following = best * (2 if best == max(tried) else 0.5)
        tried[following] = error(following)
    return dict(sorted(tried.items()))


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mace", metavar="PYTHON", help="an interpreter with mace-torch")
    parser.add_argument("--schnetpack", metavar="PYTHON", help="an interpreter with schnetpack")
    parser.add_argument("--frames", metavar="FILE", help="extended XYZ with energies and forces")
    parser.add_argument("--train", type=int, default=400)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--irreps", nargs="+", default=["32x0e", "32x0e+32x1o"], help="of MACE")
    parser.add_argument("--batch", type=int, default=10, help="frames a step")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--fit", type=float, default=0, metavar="SECONDS", help="processor time of each training")
    parser.add_argument("--pilot", type=float, default=0.4, help="share of it that each rate is tried for")
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    if not (options.mace or options.schnetpack):
        parser.error("give --mace or --schnetpack, or both: there is nothing to compare with")
    return options


if __name__ == "__main__":
    sys.exit(main())
