"""From a SMILES to kekulised atoms and bonds, from these to actions, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from exapt.domains.atom_molecules import rdkit
from exapt.domains.molecule_actions import ACTIONS, IDS, REACH, Action
from exapt.domains.tokens import PLAIN, SPECIAL
from exapt.domains.valence import BY_ATOM, KINDS

Order = Callable[[list[int]], list[int]]
"""The order in which choices are taken: of the first atom, and of each atom's neighbours."""
ORDER_OF = {"SINGLE": 1, "DOUBLE": 2, "TRIPLE": 3}
"""RDKit's names of the kinds of bonds that are written."""
REASONS = (
    "no SMILES",
    "several parts",
    "an element or charge outside the table",
    "an isotope",
    "a radical",
    "a valence outside the table",
    f"a path of more than {REACH} atoms",
    "longer than domain.length",
    "a symbol outside the alphabet",
)
"""Why a molecule is left out."""
UNREADABLE, PARTS, ELEMENT, ISOTOPE, RADICAL, VALENCE, PATH, LONG, SYMBOL = range(len(REASONS))


class LeftOutError(Exception):
    """A molecule that the actions do not write; `reason` is a place in `REASONS`."""

    def __init__(self, reason: int) -> None:
        super().__init__(REASONS[reason])
        self.reason = reason


@dataclass
class Graph:
    """Atoms by kind, and bond orders 1 to 3 between them."""

    kinds: list[int] = field(default_factory=list)
    bonds: list[dict[int, int]] = field(default_factory=list)
    """For each atom, its neighbours and the orders of the bonds to them."""

    def add(self, kind: int) -> int:
        """A new atom without bonds; its place."""
        self.kinds.append(kind)
        self.bonds.append({})
        return len(self.kinds) - 1

    def join(self, one: int, other: int, order: int) -> None:
        """Bond two atoms."""
        self.bonds[one][other] = self.bonds[other][one] = order

    def sums(self) -> list[int]:
        """The sum of each atom's bond orders."""
        return [sum(bonds.values()) for bonds in self.bonds]


def parse(smiles: str) -> Graph:
    """The graph of a SMILES, atoms in the order of its canonical form, stereo left aside; raises `LeftOutError`."""
    chem = rdkit()
    from rdkit import rdBase

    with rdBase.BlockLogs():
        molecule = chem.MolFromSmiles(smiles) if smiles else None
        if molecule is None or not molecule.GetNumAtoms():
            raise LeftOutError(UNREADABLE)
        if "." in smiles and len(chem.GetMolFrags(molecule)) > 1:
            raise LeftOutError(PARTS)
        if any(atom.GetIsotope() for atom in molecule.GetAtoms()):
            raise LeftOutError(ISOTOPE)
        molecule = chem.MolFromSmiles(smiles_of(molecule))
        if molecule is None:
            raise LeftOutError(UNREADABLE)
        chem.Kekulize(molecule, clearAromaticFlags=True)
    return graph_of(molecule)


def graph_of(molecule: Any) -> Graph:
    """The graph of a kekulised RDKit molecule; raises `LeftOutError` for one that the table does not hold."""
    graph = Graph()
    for atom in molecule.GetAtoms():
        kind = BY_ATOM.get((atom.GetAtomicNum(), atom.GetFormalCharge()))
        if kind is None:
            raise LeftOutError(ELEMENT)
        if atom.GetNumRadicalElectrons():
            raise LeftOutError(RADICAL)
        graph.add(kind)
    for bond in molecule.GetBonds():
        order = ORDER_OF.get(bond.GetBondType().name)
        if order is None:
            raise LeftOutError(VALENCE)
        graph.join(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx(), order)
    for atom, kind, bonds in zip(molecule.GetAtoms(), graph.kinds, graph.sums(), strict=True):
        if KINDS[kind].hydrogens(bonds) != atom.GetTotalNumHs():
            raise LeftOutError(VALENCE)
    return graph


def actions_of(graph: Graph, order: Order = sorted) -> list[int]:
    """Token ids of a walk over a graph, ends not among them; raises `LeftOutError` where a path is too long."""
    return [IDS[action] for action in _walk(graph, order)]


def _walk(graph: Graph, order: Order) -> Iterator[Action]:
    """Depth first: each atom as it is met, its rings from the smallest on, then its branches."""
    first = order(list(range(len(graph.kinds))))[0]
    path, depth, seen = [first], {first: 1}, {first}
    waiting = [iter(order(list(graph.bonds[first])))]
    yield Action("atom", graph.kinds[first], 1)
    back = 0
    while path:
        atom = next((a for a in waiting[-1] if a not in seen), None)
        if atom is None:
            depth.pop(path.pop())
            waiting.pop()
            back += 1
            continue
        if back:
            yield Action("back", back)
            back = 0
        bonds = graph.bonds[atom]
        yield Action("atom", graph.kinds[atom], bonds[path[-1]])
        closing = sorted((len(path) + 1 - (depth[a] - 1), a) for a in bonds if a in depth and a != path[-1])
        path.append(atom)
        depth[atom] = len(path)
        seen.add(atom)
        if len(path) > REACH:
            raise LeftOutError(PATH)
        for size, other in closing:
            yield Action("ring", size, bonds[other])
        waiting.append(iter(order(list(bonds))))


def graph_from(ids: Sequence[int]) -> Graph | None:
    """The graph that some ids build, special ones passed over, valences not looked at; None where they build none:
    no atom, a ring to nowhere or to a neighbour, a step back beyond the first atom, or a mask or unknown token."""
    graph, path = Graph(), list[int]()
    for token in ids:
        if token < PLAIN:
            if token in (SPECIAL["unknown"], SPECIAL["mask"]):
                return None
            continue
        if not _take(ACTIONS[token - PLAIN], graph, path):
            return None
    return graph if graph.kinds else None


def _take(action: Action, graph: Graph, path: list[int]) -> bool:
    """Do one action; False where it cannot be done."""
    if action.does == "atom":
        atom = graph.add(action.what)
        if path:
            graph.join(path[-1], atom, action.order)
        path.append(atom)
        return True
    if action.does == "back":
        if action.what >= len(path):
            return False
        del path[len(path) - action.what :]
        return True
    if action.what > len(path) or path[-action.what] in graph.bonds[path[-1]]:
        return False
    graph.join(path[-1], path[-action.what], action.order)
    return True


def molecule_of(graph: Graph) -> Any | None:
    """The RDKit molecule of a graph, sanitised; None where RDKit refuses it."""
    chem = rdkit()
    from rdkit import rdBase

    types = {order: getattr(chem.BondType, name) for name, order in ORDER_OF.items()}
    molecule = chem.RWMol()
    for at in graph.kinds:
        atom = chem.Atom(KINDS[at].number)
        atom.SetFormalCharge(KINDS[at].charge)
        molecule.AddAtom(atom)
    for one, bonds in enumerate(graph.bonds):
        for other, order in bonds.items():
            if one < other:
                molecule.AddBond(one, other, types[order])
    with rdBase.BlockLogs():
        try:
            chem.SanitizeMol(molecule)
        except (ValueError, RuntimeError):
            return None
    return molecule.GetMol()


def smiles_of(molecule: Any) -> str:
    """RDKit's canonical SMILES of a molecule, without stereo."""
    return str(rdkit().MolToSmiles(molecule, isomericSmiles=False))
