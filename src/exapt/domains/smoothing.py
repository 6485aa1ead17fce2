"""The classical features of nodes: their own, averaged with those of their neighbours, and nothing learnt.

Wu et al. 2019, Simplifying graph convolutional networks, eq. 8: S^K X with S = D̃^−½ (A + I) D̃^−½.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp

from exapt.domains.links import Links


def smoothed(features: Any, links: Links, times: int) -> Any:
    """(n, F) features after so many averagings; sparse where they are and nearly all stays zero, else dense."""
    matrix = averaging(links)
    found = features
    for _ in range(times):
        found = matrix @ found
        if sp.issparse(found) and found.nnz > 0.3 * found.shape[0] * found.shape[1]:
            found = found.toarray()
    return found.tocsr() if sp.issparse(found) else np.asarray(found, dtype=np.float32)


def averaging(links: Links) -> sp.csr_matrix:
    """(n, n) S; for a directed graph by the degrees of both ends in A + I, in and out."""
    matrix = links.matrix() + sp.identity(len(links), dtype=np.float32, format="csr")
    into = np.asarray(matrix.sum(axis=1)).reshape(-1)
    out = np.asarray(matrix.sum(axis=0)).reshape(-1)
    return (sp.diags(into**-0.5) @ matrix @ sp.diags(out**-0.5)).tocsr().astype(np.float32)
