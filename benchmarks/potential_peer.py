"""MACE or SchNetPack's PaiNN, in an environment of its own; started by `potential_peers.py`, not by hand.

Reads a line of JSON at a time and answers with one: first what to build, then `{"clock": true}` or `{"fit": …}`. Frames
come as a file. Neighbour lists are worked out once a frame and kept, as both libraries can; energies and forces are in
float32.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from potential_loop import Clocked, Frames, Side, fit


class Mace(Side):
    """mace-torch's default network (two layers, l up to 3, correlation 3) with the hidden irreps asked for."""

    clip = 10.0

    def __init__(self, told: dict[str, Any], frames: Frames) -> None:
        torch.serialization.add_safe_globals([slice])  # e3nn's table of constants, which newer torch would refuse
        from e3nn import o3
        from mace import modules
        from mace.tools import AtomicNumberTable

        self.cutoff, self.kept = told["cutoff"], {}
        self.table = AtomicNumberTable(sorted(set(frames.numbers.tolist())))
        block = modules.interaction_classes["RealAgnosticResidualInteractionBlock"]
        self.network = modules.ScaleShiftMACE(
            r_max=self.cutoff,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=3,
            interaction_cls=block,
            interaction_cls_first=block,
            num_interactions=2,
            num_elements=len(self.table),
            hidden_irreps=o3.Irreps(told["irreps"]),
            MLP_irreps=o3.Irreps("16x0e"),
            gate=torch.nn.functional.silu,
            atomic_energies=np.zeros(len(self.table)),
            avg_num_neighbors=told["neighbours"],
            atomic_numbers=self.table.zs,
            correlation=3,
            radial_type="bessel",
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )

    def batch(self, frames: Frames, places: Sequence[int]) -> Any:
        from mace.tools.torch_geometric.batch import Batch

        return Batch.from_data_list([self._graph(frames, place) for place in places])

    def _graph(self, frames: Frames, place: int) -> Any:
        from mace.data import AtomicData, Configuration

        key = (id(frames), place)
        if key not in self.kept:
            at = frames.part(place)
            bare = Configuration(frames.numbers[at], frames.positions[at], properties={}, property_weights={})
            self.kept[key] = AtomicData.from_config(bare, z_table=self.table, cutoff=self.cutoff)
        return self.kept[key]

    def answer(self, batch: Any) -> tuple[Tensor, Tensor]:
        said = self.network(batch.to_dict(), training=self.network.training)
        return said["energy"], said["forces"]

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.network.parameters(), lr=rate, amsgrad=True, weight_decay=5e-7)


def name_for_newer_torch() -> None:
    """A type variable that schnetpack 2.1 imports from torch, and that newer torch keeps elsewhere."""
    from torch.utils.data import dataloader

    if not hasattr(dataloader, "T_co"):
        dataloader.T_co = TypeVar("T_co", covariant=True)


class Painn(Side):
    """SchNetPack's PaiNN with 20 Gaussians and a cosine cut-off, as its examples have it."""

    def __init__(self, told: dict[str, Any], frames: Frames) -> None:
        name_for_newer_torch()
        import schnetpack as spk

        self.cutoff, self.kept = told["cutoff"], {}
        width = told["width"]
        painn = spk.representation.PaiNN(
            n_atom_basis=width,
            n_interactions=told["depth"],
            radial_basis=spk.nn.GaussianRBF(n_rbf=20, cutoff=self.cutoff),
            cutoff_fn=spk.nn.CosineCutoff(self.cutoff),
        )
        self.network = spk.model.NeuralNetworkPotential(
            representation=painn,
            input_modules=[spk.atomistic.PairwiseDistances()],
            output_modules=[
                spk.atomistic.Atomwise(n_in=width, output_key="energy"),
                spk.atomistic.Forces(energy_key="energy", force_key="forces"),
            ],
        )

    def batch(self, frames: Frames, places: Sequence[int]) -> Any:
        from schnetpack.data.loader import _atoms_collate_fn

        return _atoms_collate_fn([self._graph(frames, place) for place in places])

    def _graph(self, frames: Frames, place: int) -> dict[str, Tensor]:
        from schnetpack import properties as p
        from schnetpack.transform import MatScipyNeighborList

        key = (id(frames), place)
        if key not in self.kept:
            at = frames.part(place)
            bare = {
                p.Z: torch.from_numpy(frames.numbers[at]),
                p.R: torch.from_numpy(frames.positions[at]),
                p.cell: torch.zeros(1, 3, 3, dtype=torch.float64),
                p.pbc: torch.zeros(3, dtype=torch.bool),
                p.n_atoms: torch.tensor([at.stop - at.start]),
            }
            found = MatScipyNeighborList(self.cutoff)(bare)
            self.kept[key] = {n: v.float() if v.is_floating_point() else v for n, v in found.items()}
        return dict(self.kept[key])

    def answer(self, batch: Any) -> tuple[Tensor, Tensor]:
        said = self.network(dict(batch))
        return said["energy"], said["forces"]

    def optimiser(self, rate: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.network.parameters(), lr=rate, weight_decay=0.0)


def build(told: dict[str, Any], frames: Frames, seed: int) -> Side:
    """A side with fresh weights."""
    torch.manual_seed(seed)
    return Mace(told, frames) if "irreps" in told else Painn(told, frames)


def main() -> None:
    torch.set_num_threads(1)
    told = json.loads(sys.stdin.readline())
    train, test = Frames.load(told["train"]), Frames.load(told["test"])
    side = build(told, train, 0)
    clocked = Clocked(side, train, told["batch"])
    print(json.dumps({"torch": torch.__version__, "parameters": side.size()}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "fit" in asked:
            said = fit(
                build(told, train, asked["seed"]), train, test, told["batch"], **asked["fit"], seed=asked["seed"]
            )
        else:
            said = {"seconds": clocked.seconds()}
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
