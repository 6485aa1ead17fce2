"""What an alignment alone shows of the families of `exapt run contacts`: mean-field DCA and mutual information.

python benchmarks/planted_contacts.py [--sequences 1000]
"""

from __future__ import annotations

import argparse

import numpy as np

from exapt.domains.potts import Family
from exapt.evidence.couplings import mean_field, mutual_information
from exapt.tasks.contact_scores import mean_with_interval, precision_at
from exapt.tasks.pairs import contacts_of, in_range, pair_places

FAMILIES, LENGTH = 4, 24


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--sequences", type=int, default=1000)
    count = asked.parse_args().sequences
    found: dict[str, list[float]] = {"mean-field DCA": [], "mutual information": [], "chance": []}
    first, second = pair_places(LENGTH)
    for seed in range(FAMILIES):
        family = Family.drawn(LENGTH, seed)
        alignment = family.sample(count, np.random.default_rng([seed, LENGTH, 0]))
        truth = contacts_of(family.places, 8.0)
        for name, method in (("mean-field DCA", mean_field), ("mutual information", mutual_information)):
            found[name].append(precision_at(method(alignment)[first, second], truth, "all"))
        found["chance"].append(float((truth[in_range(LENGTH, "all")] == 1).mean()))
    for name, values in found.items():
        row = mean_with_interval(np.array(values))
        print(f"{name:<20}P@L {row['mean']:.3f} ({row['low']:.3f} to {row['high']:.3f} over {row['n']} families)")


if __name__ == "__main__":
    main()
