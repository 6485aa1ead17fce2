"""A small residual convolutional network with pre-activation (He et al. 2016, arXiv 1603.05027) over whole pictures.

Shapes: B pictures, C channels, h × w cells of the last grid, D width. The elements are those cells in row order: the
strides multiply to the domain's patch, so that a picture has as many elements as its domain says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from exapt.backbones.base import Backbone, not_taken
from exapt.batch import Batch, Features
from exapt.domains.base import Inputs
from exapt.errors import InputError
from exapt.spec import Spec

GROUP = 8
"""Channels that share a mean and a spread under `norm: group`, as far as the width divides by it."""


class ConvShape(NamedTuple):
    """The numbers that fix every weight's shape."""

    width: int
    depth: int
    stages: int


CONV_SIZES = {
    "nano": ConvShape(16, 1, 3),
    "micro": ConvShape(32, 1, 3),
    "tiny": ConvShape(64, 1, 3),
    "mini": ConvShape(32, 2, 4),
    "small": ConvShape(64, 2, 4),
}
"""Channels of the first stage, blocks a stage, stages; `small` has the shape of ResNet-18."""


class ConvNetSpec(Spec):
    """A residual network of 3 × 3 convolutions: channels double from stage to stage while the grid shrinks."""

    kind: Literal["convnet"] = "convnet"
    size: Literal["nano", "micro", "tiny", "mini", "small"] = "micro"
    """Width × depth × stages: nano 16 × 1 × 3, micro 32 × 1 × 3, tiny 64 × 1 × 3, mini 32 × 2 × 4, small 64 × 2 × 4
    (ResNet-18). An element has width · 2^(stages − 1) features."""
    width: PositiveInt | None = None
    """Channels of the first stage; None: the size's."""
    depth: PositiveInt | None = None
    """Blocks of two convolutions in each stage; None: the size's."""
    stages: int | None = Field(default=None, ge=1, le=6)
    """Stages, each of twice the channels of the one before; None: the size's."""
    norm: Literal["group", "batch"] = "group"
    """GroupNorm treats each picture by itself, which per-example gradients, privacy and small batches need; BatchNorm
    mixes the pictures of a batch."""

    @property
    def shape(self) -> ConvShape:
        """The size with what was given beside it."""
        size = CONV_SIZES[self.size]
        return ConvShape(self.width or size.width, self.depth or size.depth, self.stages or size.stages)

    def build(self, inputs: Inputs, seed: int | None = None) -> ConvNet:
        """Fresh weights; the same seed gives the same weights, None draws from torch's global generator.

        Raises `InputError` for elements that are no pictures, and for patches that are no power of two.
        """
        rng = None if seed is None else torch.Generator().manual_seed(seed)
        with torch.device("meta"):
            backbone = ConvNet(self, inputs)
        backbone.to_empty(device="cpu")
        initialise(backbone, rng)
        return backbone

    fresh = build
    """What pre-trained weights are compared with; the same as `build` for a backbone that starts from nothing."""


class ConvNet(Backbone):
    """See `ConvNetSpec`. Takes whole pictures (B, C, H, W)."""

    whole: ClassVar[bool] = True

    def __init__(self, spec: ConvNetSpec, inputs: Inputs) -> None:
        super().__init__()
        self.spec, self.inputs, self.causal = spec, inputs, False
        width, depth, stages = spec.shape
        first, *strides = strides_for(inputs, stages)
        self.width = width * 2 ** (stages - 1)
        self.stem = nn.Conv2d(inputs.channels, width, max(3, first), first, 0 if first > 3 else 1, bias=False)
        self.layers = nn.ModuleList(_layers(width, depth, strides, spec.norm))
        self.final_norm = _norm(spec.norm, self.width)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        return [self.stem, *self.layers, self.final_norm]

    def forward(self, batch: Batch) -> Features:
        if not len(batch):
            return Features(torch.zeros(0, self.width, device=batch.inputs.device), batch.offsets)
        grid = self.grid(batch)
        return Features(grid.permute(0, 2, 3, 1).reshape(-1, self.width), batch.offsets)

    def grid(self, batch: Batch) -> Tensor:
        """(B, D, h, w) the last grid, its channels beside each other in memory."""
        if not batch.pictures:
            raise InputError(
                "backbone.kind=convnet sees whole pictures, and the batch holds single patches; "
                "valid here: backbone.kind=transformer"
            )
        values = self.stem(batch.inputs.contiguous(memory_format=torch.channels_last))
        values = values.contiguous(memory_format=torch.channels_last)  # a picture of one channel has either format
        for layer in self.layers:
            values = layer(values)
        return F.relu(self.final_norm(values))


class ConvLayer(nn.Module):
    """(B, C, H, W) to (B, C', H / stride, W / stride): norm, ReLU, convolution, twice, beside a short way past them.

    Where the shape changes, the short way is the normalised input's means over stride × stride cells, through a 1 × 1
    convolution (the variant D of He et al. 2019, arXiv 1812.01187).
    """

    def __init__(self, inner: int, outer: int, stride: int, norm: str) -> None:
        super().__init__()
        self.stride = stride
        self.norm1 = _norm(norm, inner)
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.norm2 = _norm(norm, outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.past = nn.Conv2d(inner, outer, 1, bias=False) if inner != outer or stride > 1 else None

    def forward(self, values: Tensor) -> Tensor:
        """One layer."""
        ready = F.relu(self.norm1(values))
        changed = self.conv2(F.relu(self.norm2(self.conv1(ready))))
        if self.past is None:
            return torch.add(values, changed)
        means = F.avg_pool2d(ready, self.stride) if self.stride > 1 else ready
        return torch.add(self.past(means), changed)


def _layers(width: int, depth: int, strides: Sequence[int], norm: str) -> Iterator[ConvLayer]:
    """`depth` layers a stage; the first of each changes the shape."""
    inner = width
    for stage, stride in enumerate(strides):
        outer = width * 2**stage
        for number in range(depth):
            yield ConvLayer(inner, outer, stride if number == 0 else 1, norm)
            inner = outer


def strides_for(inputs: Inputs, stages: int) -> list[int]:
    """[of the stem, of each stage]: every stage but the first halves the grid until the patch is reached.

    A larger patch falls to the stem.
    """
    if inputs.kind != "pictures":
        raise not_taken("convnet", "pictures", inputs.kind)
    halvings = inputs.patch.bit_length() - 1
    if inputs.patch != 2**halvings:
        raise InputError(
            f"domain.patch: {inputs.patch}; the strides of backbone.kind=convnet multiply to the patch, a power of "
            "two; valid: 1, 2, 4, 8, 16, 32, …"
        )
    inside = min(halvings, stages - 1)
    return [2 ** (halvings - inside), 1, *[2] * inside, *[1] * (stages - 1 - inside)]


class WideGroupNorm(nn.GroupNorm):
    """GroupNorm in float32 under autocast, as on CUDA: in bfloat16 a processor takes four times as long for it."""

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, h, w) to the same in float32, or in float64 if it was."""
        wide = input if input.dtype == torch.float64 else input.float()
        if torch.is_grad_enabled() and self.weight.requires_grad:
            wide = _Tied.apply(wide, self.weight)
        return F.group_norm(wide, self.num_groups, self.weight, self.bias, self.eps)


class _Tied(torch.autograd.Function):
    """The values as they are, differentiated whenever the weight is.

    Torch 2.13's backward pass of GroupNorm over channels-last values ends the process where it is asked for the slope
    of the weight and not of the values, as over a frozen layer.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(values: Tensor, weight: Tensor) -> Tensor:
        """The same values."""
        return values.view_as(values)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: Tensor) -> None:
        """Nothing is kept."""

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None]:
        """The slope goes on to the values alone."""
        return slopes[0], None


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return WideGroupNorm(channels // math.gcd(channels, GROUP), channels)


@torch.no_grad()
def initialise(model: nn.Module, rng: torch.Generator | None) -> None:
    """Normal weights of variance 2 / fan-in (He et al. 2015); a layer's last convolution starts at zero.

    So every layer starts as the short way past it (Goyal et al. 2017, arXiv 1706.02677, §5.1).
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.GroupNorm | nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
        if isinstance(module, nn.Conv2d):
            fan = module.weight[0].numel()
            nn.init.normal_(module.weight, std=0.0 if name.endswith("conv2") else (2 / fan) ** 0.5, generator=rng)
