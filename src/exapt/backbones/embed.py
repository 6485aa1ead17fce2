"""From what a domain packs to normalised vectors: token ids, whole pictures, or the visible patches of pictures."""

from __future__ import annotations

from torch import Tensor, nn

from exapt.backbones.layers import EPS
from exapt.batch import Batch
from exapt.domains.patches import grid, patch_positions, patchify


class TokenEmbed(nn.Module):
    """Token ids (N,) to (N, D)."""

    def __init__(self, vocabulary: int, width: int, dropout: float) -> None:
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.norm = nn.LayerNorm(width, EPS, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The vectors, and positions where the batch gives them."""
        return self.drop(self.norm(self.tokens(batch.inputs))), batch.positions


class PatchEmbed(nn.Module):
    """Pictures (B, C, H, W), or patches (N, patch · patch · C) with positions (N, 2), to (N, D)."""

    def __init__(self, patch: int, channels: int, width: int, dropout: float) -> None:
        super().__init__()
        self.patch = patch
        self.project = nn.Linear(patch * patch * channels, width, bias=False)
        self.norm = nn.LayerNorm(width, EPS, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """The vectors and each patch's row and column."""
        patches, positions = self.cut(batch)
        return self.drop(self.norm(self.project(patches))), positions

    def cut(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Patches (N, F) and positions (N, 2)."""
        if not batch.pictures:
            return batch.inputs, batch.positions
        count, _, height, width = batch.inputs.shape
        positions = patch_positions(count, *grid(height, width, self.patch), batch.inputs.device)
        return patchify(batch.inputs, self.patch), positions
