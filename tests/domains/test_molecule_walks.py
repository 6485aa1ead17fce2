"""Whatever is chosen among what is allowed ends as a molecule, and what is allowed is what the rules say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from exapt.domains.molecule_actions import ACTIONS, IDS, REACH, VOCABULARY, Action
from exapt.domains.molecule_graph import Graph, actions_of, graph_from, molecule_of, parse, smiles_of
from exapt.domains.molecule_walks import FIRST_BACK, FIRST_RING, Walks
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.domains.valence import KINDS
from exapt.errors import InputError

Chem = pytest.importorskip("rdkit.Chem")
END = SPECIAL["end"]
KIND = {kind.name: at for at, kind in enumerate(KINDS)}


def atom(name: str, order: int = 1) -> int:
    return IDS[Action("atom", KIND[name], order)]


def walked(count: int, atoms: int, tokens: int, seed: int, spread: float, tilt: torch.Tensor) -> list[list[int]]:
    """Random walks: each with likings of its own (deviation `spread`) for actions beside those all share."""
    rng = torch.Generator().manual_seed(seed)
    walks, rows, texts = Walks(count, atoms, tokens), torch.arange(count), [[] for _ in range(count)]
    likings = tilt + spread * torch.randn(count, VOCABULARY, generator=rng)
    for _ in range(tokens):
        allowed = walks.allowed(rows)
        assert allowed.any(1).all()
        odds = likings[rows].masked_fill(~allowed, -torch.inf).softmax(-1)
        chosen = torch.multinomial(odds, 1, generator=rng).squeeze(1)
        walks.take(rows, chosen)
        for row, token in zip(rows.tolist(), chosen.tolist(), strict=True):
            texts[row].append(token)
        rows = rows[chosen != END]
    assert not len(rows), "a walk did not end within its tokens"
    return texts


def tilts(rng: torch.Generator) -> torch.Tensor:
    """What all walks of a set like: rarely the end, more or less rings, and few elements or many."""
    tilt = torch.zeros(VOCABULARY)
    tilt[END] = -torch.rand(1, generator=rng) * 6
    tilt[PLAIN:FIRST_RING] = 3 * torch.rand(1, generator=rng) + 2 * torch.randn(FIRST_RING - PLAIN, generator=rng)
    tilt[FIRST_RING:FIRST_BACK] = 4 * torch.rand(1, generator=rng) - 2
    tilt[[IDS[Action("ring", size, 1)] for size in (5, 6)]] += 3 * torch.rand(1, generator=rng)
    return tilt


def check(ids: list[int], atoms: int) -> None:
    """Every promise about one finished walk."""
    assert ids[-1] == END
    graph = graph_from(ids)
    assert graph is not None
    assert 1 <= len(graph.kinds) <= atoms
    molecule = molecule_of(graph)
    assert molecule is not None, ids
    for kind, bonds, own in zip(graph.kinds, graph.sums(), molecule.GetAtoms(), strict=True):
        assert KINDS[kind].hydrogens(bonds) is not None
        assert own.GetNumRadicalElectrons() == 0
    assert len(Chem.GetMolFrags(molecule)) == 1
    smiles = smiles_of(molecule)
    again = Chem.MolFromSmiles(smiles)
    assert again is not None, smiles
    assert smiles_of(again) == smiles


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32), st.integers(1, 40), st.integers(0, 90), st.sampled_from([0.0, 1.0, 3.0]))
def test_every_random_walk_ends_as_a_molecule(seed: int, atoms: int, more: int, spread: float) -> None:
    tilt = tilts(torch.Generator().manual_seed(seed))
    for ids in walked(40, atoms, 2 + more, seed, spread, tilt):
        assert len(ids) <= 2 + more
        check(ids, atoms)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40))
def test_thousands_of_random_walks_end_as_molecules(seed: int) -> None:
    tilt = tilts(torch.Generator().manual_seed(1000 + seed))
    for ids in walked(250, 60, 150, seed, 1.0, tilt):
        check(ids, 60)


def bonds_left(graph: Graph, at: int) -> int:
    return KINDS[graph.kinds[at]].valences[-1] - graph.sums()[at]


def can_end(graph: Graph, path: list[int]) -> bool:
    """Whether no atom still needs a bond, ids being done."""
    return all(KINDS[k].hydrogens(s) is not None for k, s in zip(graph.kinds, graph.sums(), strict=True))


def naive_path(ids: list[int]) -> list[int]:
    path, count = [], 0
    for token in ids:
        action = ACTIONS[token - PLAIN]
        if action.does == "atom":
            path.append(count)
            count += 1
        elif action.does == "back":
            path = path[: -action.what]
    return path


def naive_allowed(ids: list[int]) -> set[int]:
    """With atoms and tokens enough: everything that leaves no atom overfull, passes none that needs a bond, and keeps
    rings right after their atom from the smallest on."""
    if not ids:
        return {IDS[Action("atom", k, 1)] for k in range(len(KINDS))}
    graph, path = graph_from(ids), naive_path(ids)
    assert graph is not None
    last = ACTIONS[ids[-1] - PLAIN]
    out = {END} if can_end(graph, path) else set()
    for token, action in enumerate(ACTIONS, PLAIN):
        if action.does == "atom":
            ok = bonds_left(graph, path[-1]) >= action.order <= KINDS[action.what].valences[-1] and len(path) < REACH
        elif action.does == "ring":
            after = last.does == "atom" or (last.does == "ring" and last.what < action.what)
            ok = after and action.what <= len(path)
            ok = ok and min(bonds_left(graph, path[-1]), bonds_left(graph, path[-action.what])) >= action.order
        else:
            ok = action.what < len(path) and bonds_left(graph, path[-1 - action.what]) > 0
            ok = ok and all(KINDS[graph.kinds[a]].hydrogens(graph.sums()[a]) is not None for a in path[-action.what :])
        if ok:
            out.add(token)
    return out


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_what_is_allowed_is_what_the_rules_say(seed: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    tilt = tilts(rng)
    walks, ids, row = Walks(1, 500, 1000), [], torch.tensor([0])
    for _ in range(25):
        allowed = walks.allowed(row)
        assert set(allowed[0].nonzero().squeeze(1).tolist()) == naive_allowed(ids)
        allowed[0, END] = False
        if not allowed.any():
            break
        token = torch.multinomial(tilt.masked_fill(~allowed[0], -torch.inf).softmax(-1), 1, generator=rng)
        walks.take(row, token)
        ids.append(int(token))


def test_sulfur_is_finished_before_it_is_left() -> None:
    walks, row = Walks(1, 3, 10), torch.tensor([0])
    for token in (atom("C"), atom("S"), atom("O", 2)):
        assert walks.allowed(row)[0, token] or token == atom("O", 2)
        if not walks.allowed(row)[0, token]:
            return  # C-S(=O) needs one atom more than the three there may be: barred beforehand
        walks.take(row, torch.tensor([token]))
    pytest.fail("CS(=O) cannot be finished with three atoms")


def test_few_tokens_leave_only_what_can_be_finished() -> None:
    walks = Walks(1, 99, 3)
    walks.take(torch.tensor([0]), torch.tensor([atom("S")]))
    allowed = walks.allowed(torch.tensor([0]))[0]
    assert allowed[atom("C")]
    assert not allowed[atom("P", 3)]  # S with three bonds, and one token left for the end
    walks.take(torch.tensor([0]), torch.tensor([atom("C")]))
    assert walks.allowed(torch.tensor([0]))[0].nonzero().squeeze(1).tolist() == [END]


def test_a_walk_needs_an_atom_and_an_end() -> None:
    for atoms, tokens in ((0, 5), (5, 1)):
        with pytest.raises(InputError, match="valid: 1 atom or more, 2 tokens or more"):
            Walks(1, atoms, tokens)


def test_walks_do_not_see_each_other() -> None:
    together, alone = Walks(3, 9, 20), Walks(1, 9, 20)
    for token in (atom("C"), atom("N"), atom("C", 2)):
        together.take(torch.tensor([2]), torch.tensor([token]))
        alone.take(torch.tensor([0]), torch.tensor([token]))
    both = together.allowed(torch.tensor([0, 2]))
    assert torch.equal(both[1], alone.allowed(torch.tensor([0]))[0])
    assert torch.equal(both[0], Walks(1, 9, 20).allowed(torch.tensor([0]))[0])


@pytest.mark.parametrize(
    "smiles",
    ["CS(=O)(=O)c1ccccc1", "OP(=O)(O)O", "C12C3C4C1C5C2C3C45", "C1CC12CC2", "[O-][N+](=O)c1ccco1", "CC#N", "S"],
)
def test_a_molecules_own_walk_is_allowed(smiles: str) -> None:
    ids = actions_of(parse(smiles))
    walks, row = Walks(1, len(parse(smiles).kinds), len(ids) + 1), torch.tensor([0])
    for token in [*ids, END]:
        assert walks.allowed(row)[0, token], ACTIONS[token - PLAIN].name if token >= PLAIN else "end"
        walks.take(row, torch.tensor([token]))


def test_tables_of_actions_agree() -> None:
    assert len(set(ACTIONS)) == len(ACTIONS) == VOCABULARY - PLAIN
    assert all(ACTIONS[i - PLAIN] == a for a, i in IDS.items())
    does = np.array([a.does for a in ACTIONS])
    assert (does[: FIRST_RING - PLAIN] == "atom").all()
    assert (does[FIRST_RING - PLAIN : FIRST_BACK - PLAIN] == "ring").all()
    assert (does[FIRST_BACK - PLAIN :] == "back").all()
    assert [a.name for a in (ACTIONS[0], Action("ring", 6, 2), Action("back", 3))] == ["-C", "=ring6", "back3"]
