"""Fields of data, from texts to molecules. Files become data sets, data sets become batches."""

from exapt.domains.atoms import AtomsDomain, AtomsSpec
from exapt.domains.base import MISSING, Arrays, Dataset, Domain, Example, Inputs, Masked, Source, Store
from exapt.domains.dna import DnaDomain, DnaSpec
from exapt.domains.graph import GraphDomain, GraphSpec
from exapt.domains.image import ImageDomain, ImageSpec
from exapt.domains.molecule import MoleculeDomain, MoleculeSpec
from exapt.domains.protein import ProteinDomain, ProteinSpec
from exapt.domains.quantities import QuantitiesDomain, QuantitiesSpec
from exapt.domains.specs import DomainSpec, from_arrays, load_domain
from exapt.domains.table import TableDomain, TableSpec
from exapt.domains.text import TextDomain, TextSpec

__all__ = [
    "MISSING",
    "Arrays",
    "AtomsDomain",
    "AtomsSpec",
    "Dataset",
    "DnaDomain",
    "DnaSpec",
    "Domain",
    "DomainSpec",
    "Example",
    "GraphDomain",
    "GraphSpec",
    "ImageDomain",
    "ImageSpec",
    "Inputs",
    "Masked",
    "MoleculeDomain",
    "MoleculeSpec",
    "ProteinDomain",
    "ProteinSpec",
    "QuantitiesDomain",
    "QuantitiesSpec",
    "Source",
    "Store",
    "TableDomain",
    "TableSpec",
    "TextDomain",
    "TextSpec",
    "from_arrays",
    "load_domain",
]
