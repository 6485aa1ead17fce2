"""What a structure costs as it grows: neighbours, energy and forces of boxes of water from 81 to 10,125 atoms.

    OMP_NUM_THREADS=1 python benchmarks/system_size.py [--size micro] [--open] [--long-range]

Water at its usual density, molecules turned at random; each box in a process of its own, so that its memory is its own
peak. Seconds are of processor time, the best of three. Fails where their exponent against atoms (a line through the
logarithms, from 375 atoms on) is above 1.2; latent charges are measured, not judged.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
import torch

from exapt.backbones import EquivariantSpec
from exapt.domains import AtomsSpec
from exapt.domains.atom_batch import batch_of
from exapt.domains.structure import Structure
from exapt.objectives.energies import EnergyHead, surface

SIDES = (3, 5, 7, 10, 15)
"""Molecules along an edge: 3 times their cube are the atoms."""
SPACING = 3.104
"""Å between molecules at 0.997 g/cm³."""
BAR, FROM = 1.2, 375
WATER = np.array([[0.0, 0.0, 0.0], [0.757, 0.586, 0.0], [-0.757, 0.586, 0.0]])


def box(side: int, periodic: bool) -> Structure:
    """A cube of water molecules on a lattice, each turned at random."""
    rng = np.random.default_rng(side)
    turns = np.linalg.qr(rng.normal(size=(side**3, 3, 3)))[0]
    places = np.stack(np.meshgrid(*[np.arange(side)] * 3), -1).reshape(-1, 1, 3) * SPACING
    atoms = (places + WATER @ turns).reshape(1, -1, 3)
    return Structure(np.tile([8, 1, 1], side**3), atoms, np.eye(3) * side * SPACING * periodic)


def one(side: int, size: str, periodic: bool, long_range: bool) -> dict[str, float]:
    """Seconds and memory of one box."""
    torch.set_num_threads(1)
    domain = AtomsSpec().build()
    net = EquivariantSpec.parse({"size": size, "long_range": long_range}).build(domain.inputs, seed=0)
    head, structure = EnergyHead(net.width, seed=0), box(side, periodic)
    base, seconds = peak(), []
    for _ in range(3):
        start = time.process_time()
        batch = batch_of([structure], domain.spec.cutoff)
        found = time.process_time()
        with torch.no_grad():
            surface(net, head, batch)
        seconds.append((found - start, time.process_time() - found))
    assert batch.edges is not None
    neighbours, forces = np.min(seconds, 0).tolist()
    said = {"atoms": len(structure), "pairs": batch.edges.shape[1], "neighbours": neighbours, "forces": forces}
    return said | {"memory": peak() - base}


def peak() -> float:
    """MiB of memory this process has held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def exponent(rows: list[dict[str, float]]) -> float:
    """Of seconds against atoms."""
    large = [row for row in rows if row["atoms"] >= FROM]
    seconds = [row["neighbours"] + row["forces"] for row in large]
    return float(np.polyfit(np.log([row["atoms"] for row in large]), np.log(seconds), 1)[0])


def main() -> int:
    """Exit code: 0 where cost is linear."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="micro")
    parser.add_argument("--open", action="store_true", help="a cube of water by itself, not repeated")
    parser.add_argument("--long-range", action="store_true", help="with latent charges")
    parser.add_argument("--sides", type=int, nargs="+", default=list(SIDES))
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.size, not options.open, options.long_range)))
        return 0
    flags = ["--size", options.size, *(["--open"] * options.open), *(["--long-range"] * options.long_range)]
    rows = []
    print("atoms     pairs  neighbours  energy, forces  µs an atom  memory")
    for side in options.sides:
        said = subprocess.run(
            [sys.executable, __file__, "--one", str(side), *flags], check=False, stdout=subprocess.PIPE
        )
        if said.returncode:
            print(f"{3 * side**3:>5}  no result: code {said.returncode}")
            continue
        row = json.loads(said.stdout)
        rows.append(row)
        total = row["neighbours"] + row["forces"]
        print(
            f"{row['atoms']:>5}{row['pairs']:>10,}{row['neighbours']:>10.3f} s{row['forces']:>14.3f} s"
            f"{1e6 * total / row['atoms']:>12.0f}{row['memory']:>8,.0f} MiB",
            flush=True,
        )
    found = exponent(rows)
    print(f"seconds grow as atoms to the power of {found:.2f}")
    return int(found > BAR and not options.long_range)


if __name__ == "__main__":
    sys.exit(main())
