"""Overlap between a corpus and evaluation examples: common runs, near-duplicates, and where they stand."""

from __future__ import annotations

from exapt.audits.overlap.compare import overlap, overlap_sequences, overlap_texts
from exapt.audits.overlap.found import Overlap, Pair
from exapt.audits.overlap.graphs import Graph, overlap_graphs
from exapt.audits.overlap.pictures import overlap_pictures

__all__ = [
    "Graph",
    "Overlap",
    "Pair",
    "overlap",
    "overlap_graphs",
    "overlap_pictures",
    "overlap_sequences",
    "overlap_texts",
]
