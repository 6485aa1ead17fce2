"""Random views of pictures a second: the fused path against the same chain through kornia, both in one run.

    OMP_NUM_THREADS=1 python benchmarks/views.py [--side 32] [--batch 256] [--rotation 0] [--rounds 15]

Resized crop, flip, colour jitter, grey and standardising, as SimCLR does on small pictures; `--rotation` adds turning.
kornia runs as its users run it, one `nn.Sequential` over pictures from 0 to 1, with the faster of its two ways of
cropping. Rounds take turns, in CPU seconds, and the median of the ratios is told. Both must first agree on what the
views look like: mean and spread of brightness within 4.5 standard errors.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from exapt.domains import ImageDomain, ImageSpec, from_arrays

BAR = 4.0
ROUNDS = 15
Views = Callable[[], Tensor]


def pictures(count: int, side: int) -> np.ndarray:
    """Smooth coloured noise in bytes: what is in a picture does not change how long it takes."""
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, side, mode="bilinear", align_corners=False)
    return (smooth.permute(0, 2, 3, 1) * 255).byte().numpy()


def kornia_chain(domain: ImageDomain, unit: Tensor, rotation: float, cropping: str) -> Views:
    """kornia's own chain, ending in standardised pictures."""
    import kornia.augmentation as k

    side, mean, spread = unit.shape[-1], torch.tensor(domain.mean / 255), torch.tensor(domain.spread / 255)
    turns = [k.RandomAffine(rotation, align_corners=False, padding_mode="border", p=1.0)] if rotation else []
    chain = nn.Sequential(
        k.RandomResizedCrop((side, side), (0.2, 1.0), align_corners=False, cropping_mode=cropping),
        k.RandomHorizontalFlip(p=0.5),
        *turns,
        k.ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
        k.RandomGrayscale(p=0.2),
        k.Normalize(mean.float(), spread.float()),
    )
    return lambda: chain(unit)


def ways(side: int, batch: int, rotation: float) -> dict[str, Views]:
    """What is compared: one view of a batch each time."""
    values = pictures(batch, side)
    spec = ImageSpec.parse({"views": {"rotation": rotation, "blur": 0}})
    domain = spec.build(from_arrays(values))
    packed = domain.collate(list(domain.read(from_arrays(values))))
    unit = torch.from_numpy(values).permute(0, 3, 1, 2).contiguous().float().div_(255)
    rng = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    kornias = {f"kornia, {way}": kornia_chain(domain, unit, rotation, way) for way in ("slice", "resample")}
    return {"fused": lambda: domain.views(packed, rng, 1)[0].inputs, **kornias}


def seconds(work: Views) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def agree(one: Views, other: Views, times: int = 8) -> bool:
    """Whether mean and spread of brightness of the views are alike."""
    found = [torch.cat([way().mean(1) for _ in range(times)]) for way in (one, other)]
    for measure in (lambda v: v.mean((1, 2)), lambda v: v.std((1, 2))):
        a, b = (measure(views).double() for views in found)
        if abs(float(a.mean() - b.mean())) > 4.5 * float((a.var() / len(a) + b.var() / len(b)).sqrt()):
            return False
    return True


def main() -> int:
    """Exit code: 0 where the bar is met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("side", 32), ("batch", 256), ("rounds", ROUNDS)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rotation", type=float, default=0.0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    compared = ways(asked.side, asked.batch, asked.rotation)
    for name in list(compared)[1:]:
        if not agree(compared["fused"], compared[name]):
            print(f"the views of {name} and of the fused path differ: no time counts")
            return 1
    times: dict[str, list[float]] = {name: [] for name in compared}
    for _ in range(asked.rounds):
        for name, work in compared.items():
            times[name].append(seconds(work))
    for name, found in times.items():
        print(f"{name:<18} {asked.batch / statistics.median(found):>9,.0f} views/s of {asked.side} × {asked.side}")
    faster = min(list(times)[1:], key=lambda name: statistics.median(times[name]))
    ratio = statistics.median(theirs / ours for ours, theirs in zip(times["fused"], times[faster], strict=True))
    print(f"{'met' if ratio >= BAR else 'MISSED'}: fused is {ratio:.1f} × {faster} (asked: {BAR:.0f} ×)")
    return 0 if ratio >= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
