"""Dynamics in ASE: how well a potential trained for a minute conserves energy, and what keeping neighbours saves.

    OMP_NUM_THREADS=1 python benchmarks/dynamics.py [--picoseconds 10]

Two potentials are trained from scratch: of GFN2-xTB's small organic molecules, and of metals by effective medium theory
(`built:crystals`). Ethanol is relaxed, brought to 350 K by Langevin's thermostat and run in the NVE ensemble with steps
of 0.5 fs; copper (32 atoms, periodic) likewise at 300 K with steps of 2 fs, then under Berendsen's barostat. Drift is
the slope of a line through the total energy, deviation the standard deviation around it. Skins are timed in turns, in
processor time. Fails where a drift is above 1 meV an atom and ps, or stress is not a finite difference.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.fd import calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.md.langevin import Langevin
from ase.md.nptberendsen import NPTBerendsen
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS, FIRE

from exapt.adaptation import FinetuneSpec, Start, fit
from exapt.backbones import EquivariantSpec
from exapt.domains import AtomsSpec, Source
from exapt.integrations.ase import ExaptCalculator
from exapt.tasks import PotentialTaskSpec

BAR = 1.0
"""meV an atom and ps."""
EVERY = 10
"""Steps between readings of the energy."""


def potential(path: str, cutoff: float, steps: int, folder: Path) -> Path:
    """A potential of a built-in set, trained from scratch; nine tenths of it teach."""
    start = time.process_time()
    domain = AtomsSpec(cutoff=cutoff).build()
    data = domain.read(Source(path=path, label="energy"))
    task = PotentialTaskSpec().build(data)
    data = task.attach(data)
    order = np.random.default_rng(0).permutation(len(data))
    parts = np.split(order, [len(data) * 8 // 10, len(data) * 9 // 10])
    train, valid, test = (data.subset(part) for part in parts)
    backbone = EquivariantSpec().build(domain.inputs, 0)
    spec = FinetuneSpec(probe_first=False, rates=[4e-3], min_steps=steps, max_steps=steps, batch=8, evaluations=5)
    fitted = fit(spec, Start(domain, backbone), task, train, valid, 0)
    error = -1000 * task.metric(fitted.predict(test), task.truth(test))
    print(f"{path}: {steps} steps, {time.process_time() - start:.0f} s, force error {error:.0f} meV/Å", flush=True)
    return fitted.save(folder)


def warmed(atoms: Atoms, kelvin: float, step: float, steps: int) -> None:
    """At a temperature, at rest as a whole."""
    rng = np.random.default_rng(0)
    MaxwellBoltzmannDistribution(atoms, temperature_K=kelvin, rng=rng)
    Langevin(atoms, step * units.fs, temperature_K=kelvin, friction=0.02 / units.fs, rng=rng).run(steps)
    Stationary(atoms)


def drift(name: str, atoms: Atoms, step: float, picoseconds: float) -> bool:
    """A run in the NVE ensemble, told in a line; whether its energy drifts."""
    energies, kelvin, seconds = [], [], time.process_time()
    before, steps = atoms.calc.skin.searches, round(1000 * picoseconds / step)
    dynamics = VelocityVerlet(atoms, step * units.fs)

    def look() -> None:
        energies.append(1000 * atoms.get_total_energy() / len(atoms))
        kelvin.append(atoms.get_temperature())

    dynamics.attach(look, interval=EVERY)
    dynamics.run(steps)
    seconds = (time.process_time() - seconds) / steps
    times = np.arange(len(energies)) * EVERY * step / 1000
    slope, level = np.polyfit(times, energies, 1)
    around = float(np.std(np.array(energies) - level - slope * times))
    print(
        f"{name}, NVE {picoseconds:g} ps of {step:g} fs at {np.mean(kelvin):.0f} K: drift {slope:+.4f} meV an atom and "
        f"ps, deviation {around:.4f}; {1000 * seconds:.1f} ms a step, {atoms.calc.skin.searches - before} searches in "
        f"{steps} steps",
        flush=True,
    )
    return abs(slope) > BAR


def of_a_molecule(folder: Path, picoseconds: float) -> bool:
    """Ethanol: relaxation and dynamics."""
    for optimiser in (BFGS, FIRE):
        atoms = molecule("CH3CH2OH")
        atoms.calc = ExaptCalculator(folder)
        run = optimiser(atoms, logfile=None)
        done = run.run(fmax=0.01, steps=500)
        print(f"ethanol, {optimiser.__name__} to 0.01 eV/Å: {run.nsteps} steps{'' if done else ', not reached'}")
    warmed(atoms, 350, 0.5, 1000)
    return drift("ethanol", atoms, 0.5, picoseconds)


def of_a_crystal(folder: Path, picoseconds: float) -> bool:
    """Copper: lattice, stress, dynamics with and without a barostat, and what a skin saves."""
    lattice = {}
    for name, calculator in (("the potential", ExaptCalculator(folder)), ("what it learnt from", EMT())):
        atoms = bulk("Cu", cubic=True)
        atoms.calc = calculator
        BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=0.002, steps=100)
        lattice[name] = atoms.get_volume() ** (1 / 3)
    print("copper, lattice constant: " + ", ".join(f"{a:.4f} Å by {name}" for name, a in lattice.items()))
    atoms = bulk("Cu", cubic=True) * (2, 2, 2)
    atoms.calc = ExaptCalculator(folder)
    atoms.rattle(0.05, seed=0)
    apart = float(np.abs(atoms.get_stress() - calculate_numerical_stress(atoms, eps=1e-5)).max())
    print(f"copper, stress and finite differences: {apart:.1e} eV/Å³ apart, of {np.abs(atoms.get_stress()).max():.1e}")
    warmed(atoms, 300, 2, 200)
    failed = drift("copper, periodic", atoms, 2, picoseconds) or apart > 1e-6
    barostat(atoms)
    skins(folder, atoms)
    return failed


def barostat(atoms: Atoms) -> None:
    """1,000 fs at no pressure."""
    before, steps = atoms.calc.skin.searches, 500
    keys = {"temperature_K": 300, "pressure_au": 0.0, "compressibility_au": 1 / (140 * units.GPa)}
    NPTBerendsen(atoms, 2 * units.fs, taut=100 * units.fs, taup=500 * units.fs, **keys).run(steps)
    pressure = -atoms.get_stress(include_ideal_gas=True)[:3].mean() / units.GPa
    print(
        f"copper, barostat: {atoms.get_volume() / len(atoms):.2f} Å³ an atom, {pressure:+.2f} GPa, "
        f"{atoms.calc.skin.searches - before} searches in {steps} steps",
        flush=True,
    )


def skins(folder: Path, atoms: Atoms, steps: int = 40, rounds: int = 5) -> None:
    """Processor time of dynamics with neighbours searched in every step, over that with a skin."""
    ratios = []
    for _ in range(rounds):
        taken = {}
        for skin in (0.0, 0.5):
            moving = atoms.copy()
            moving.calc = ExaptCalculator(folder, skin=skin)
            moving.get_forces()
            start = time.process_time()
            VelocityVerlet(moving, 2 * units.fs).run(steps)
            taken[skin] = time.process_time() - start
        ratios.append(taken[0.0] / taken[0.5])
    print(f"{len(atoms)} atoms, a skin of 0.5 Å: ×{np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def main() -> int:
    """Exit code: 0 where energy is conserved and stress is right."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picoseconds", type=float, default=10.0)
    parser.add_argument("--steps", type=int, default=2000, help="of each training")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        organic = potential("xtb:small-organics", 5.0, options.steps, Path(name) / "organic")
        failed = of_a_molecule(organic, options.picoseconds)
        metal = potential("built:crystals", 4.5, options.steps // 2, Path(name) / "metal")
        failed |= of_a_crystal(metal, options.picoseconds / 5)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
