"""The page of generated molecules: their figures, how their properties lie, and drawings of some."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from exapt.files import write_json, write_text
from exapt.reporting.blocks import Block, Figure, Items, Page, Section, Table, Text, facts, row
from exapt.reporting.markdown import markdown
from exapt.reporting.page import html
from exapt.studies.molecule_figures import grid, sentence

SHOWN = 24
METHOD = (
    "Valid: RDKit sanitises the molecule, and its canonical SMILES reads back as the same one.",
    "Without the mask: as many drawn by the same network with nothing barred, RDKit alone deciding.",
    "Novel: not in the corpus, by canonical SMILES without stereo. Unique: different ones among the valid.",
    "Distances are in standard deviations of the corpus; the floor is that of one half of the sampled corpus from the "
    "other. The Fréchet distance is of normal laws fitted to the eight properties; it is not the ChemNet distance.",
    "Rates carry Wilson's 90 % intervals over molecules, for one trained network.",
)


def write_molecules(out: Path, found: Mapping[str, Any]) -> None:
    """Write `out` (.html), and beside it the same as Markdown and JSON."""
    page = build(found)
    write_text(out, html(page))
    write_text(out.with_suffix(".md"), markdown(page))
    write_json(out.with_suffix(".json"), dict(found))


def build(found: Mapping[str, Any]) -> Page:
    """The page of the figures that `generate_file` gives."""
    sections = [Section("Rates", _rates(found))]
    if "properties" in found:
        sections.append(Section("Properties", _properties(found["properties"])))
    shown = list(dict.fromkeys(s for s in found["smiles"] if s))[:SHOWN]
    if shown:
        caption = f"The first {len(shown)} different molecules, none picked out."
        sections.append(Section("Molecules", [Figure(Markup(grid(shown)), caption), Items(shown)]))  # RDKit's own SVG
    sections += [Section("How it was measured", [Items(METHOD)]), Section("What was drawn", [facts(found["drawn"])])]
    note = found["corpus"]["note"]
    return Page(
        title="Generated molecules",
        about="",
        sentence=f"{sentence(found)}.",
        verdict="MEASURED",
        notes=[note] if note else [],
        sections=sections,
    )


def _rates(found: Mapping[str, Any]) -> list[Block]:
    named = [("valid", found["valid"]), ("valid without the mask", found["without the mask"]["valid"])]
    named += [("unique among the valid", found["unique"])]
    named += [("not in the corpus", found["novel"])] if "novel" in found else []
    rings = found.get("scaffolds")
    named += [("scaffolds not in the corpus", rings["new"])] if rings else []
    rows = [row(name, f"{v['count']:,}", f"{v['of']:,}", _share(v["share"]), _interval(v)) for name, v in named]
    blocks: list[Block] = [Table(["", "molecules", "of", "share", "90 % interval"], rows)]
    if rings:
        said = f"{rings['different']:,} different scaffolds among {rings['of']:,} molecules with rings; "
        blocks.append(Text(f"{said}{rings['without rings']:,} have none."))
    return blocks


def _properties(found: Mapping[str, Any]) -> list[Block]:
    rows = [
        row(
            name,
            *(f"{v[whose]['mean']:.4g} ± {v[whose]['deviation']:.3g}" for whose in ("drawn", "corpus")),
            f"{v['wasserstein']:.3f}",
            f"{v['floor']:.3f}",
        )
        for name, v in found["each"].items()
    ]
    rows.append(row("all eight, Fréchet", "", "", f"{found['frechet']:.3f}", f"{found['floor']:.3f}"))
    head = ["property", "generated", "corpus", "distance", "floor"]
    caption = f"Mean ± deviation of {found['measured']:,} generated molecules and {found['corpus']:,} of the corpus"
    return [Table(head, rows, caption)]


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _interval(value: Mapping[str, Any]) -> str:
    return f"{value['low']:.1%} to {value['high']:.1%}" if value.get("low") is not None else "–"
