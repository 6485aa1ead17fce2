"""Other libraries' models, cut into the blocks that partial fine-tuning and layer-wise rates go by."""

from __future__ import annotations

from torch import nn


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """[what comes before the layers, layer …, what comes after]: every parameter once, in the order of registration.

    The layers are the list of modules with the most parameters.
    """
    lists = [(name, part) for name, part in model.named_modules() if isinstance(part, nn.ModuleList)]
    if not lists:
        return [model]
    name, layers = max(lists, key=lambda item: sum(p.numel() for p in item[1].parameters()))
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    _collect(model, name.split("."), before, after)
    return [nn.ModuleList(before), *layers, nn.ModuleList(after)]


def _collect(model: nn.Module, path: list[str], before: list[nn.Module], after: list[nn.Module]) -> None:
    """Walk down to the layers, putting what is registered before and after them on its side."""
    own = list(model.parameters(recurse=False))
    if own:
        before.append(nn.ParameterList(own))
    side = before
    for name, child in model.named_children():
        if name != path[0]:
            side.append(child)
            continue
        if len(path) > 1:
            _collect(child, path[1:], before, after)
        side = after
