"""Weights on disk: safetensors only, checked against their checksum, loaded with a report of what arrived."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from exapt.errors import InputError
from exapt.files import atomic, checksum
from exapt.training.parallel import fill, whole

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")


@dataclass(frozen=True)
class LoadReport:
    """What a load did: names of parameters and buffers, and the share of the network's numbers that were filled."""

    matched: list[str]
    missing: list[str]
    """In the network, not in the file: they keep the values they had."""
    left_over: list[str]
    """In the file, not in the network."""
    misshapen: list[str]
    """In both, with unlike shapes; counted as missing."""
    share: float

    @property
    def full(self) -> bool:
        return not (self.missing or self.left_over or self.misshapen)

    def plain(self) -> dict[str, Any]:
        return asdict(self)

    def sentence(self) -> str:
        """One line, the first names of each kind."""
        parts = {"missing": self.missing, "left over": self.left_over, "of another shape": self.misshapen}
        told = [f"{len(v)} {k} ({', '.join(v[:3])}{', …' if len(v) > 3 else ''})" for k, v in parts.items() if v]
        return f"{len(self.matched)} tensors matched, {self.share:.1%} of the numbers" + "".join(f"; {t}" for t in told)


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Every parameter and persistent buffer once, shared ones under their first name, whole on every process."""
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (name, tensor))
    return {name: whole(tensor.detach()).contiguous() for name, tensor in found.values()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], kind: str) -> str:
    """Write a safetensors file atomically; returns its SHA-256. A full disk raises `InputError`."""
    from safetensors.torch import save_file

    with room_for(path), atomic(path) as temporary:
        save_file(dict(tensors), temporary, metadata={"exapt": kind})
        return checksum(temporary)


def read_tensors(path: Path, kind: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Read a safetensors file that holds `kind`; raises `InputError` for pickles, other kinds and damaged files."""
    refuse_pickle(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file; the checkpoint is not whole")
    if sha256 is not None and checksum(path) != sha256:
        raise InputError(f"{path}: its checksum is not the recorded one: the file was truncated or changed since")
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            found = (file.metadata() or {}).get("exapt")
            if found != kind:
                raise InputError(f"{path}: holds {found or 'weights that are not exapt’s'}, where {kind} was expected")
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise InputError(f"{path}: not a readable safetensors file ({error})") from None


def load_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> LoadReport:
    """Fill what matches in name and shape, and report all that did not."""
    own = _unshared(module)
    sized = [name for name, tensor in own.items() if name in tensors and tensors[name].shape == tensor.shape]
    for name in sized:  # in one order on every process: shards are dealt out together
        fill(own[name], tensors[name])
    numbers = sum(tensor.numel() for tensor in own.values())
    return LoadReport(
        matched=sorted(sized),
        missing=sorted(own.keys() - tensors.keys()),
        left_over=sorted(tensors.keys() - own.keys()),
        misshapen=sorted((own.keys() & tensors.keys()) - set(sized)),
        share=sum(own[name].numel() for name in sized) / max(1, numbers),
    )


def refuse_pickle(path: Path) -> None:
    """Pickled weights can run any code when opened; only safetensors are read."""
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{path}: pickled weights are refused, because opening one can run any code; convert it to .safetensors"
        )


@contextmanager
def room_for(path: Path) -> Iterator[None]:
    """A failed write (a full disk, no permission) as one clear line; what was saved before is untouched."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"{path}: could not be written ({reason}); everything saved before is intact") from None


def _unshared(module: nn.Module) -> dict[str, Tensor]:
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in module.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (name, tensor))
    return {name: tensor.data if isinstance(tensor, nn.Parameter) else tensor for name, tensor in found.values()}
