import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from exapt.files import jsonable
from exapt.reporting import render, write_report
from exapt.reporting.blocks import Cell, Facts, Page, Section, Table, facts, value_text
from exapt.reporting.content import build
from exapt.reporting.markdown import clean, markdown

MakeReport = Callable[..., dict[str, Any]]
HOSTILE = '<script>window.hacked = 1</script><img src=x onerror="window.hacked=2">"\'&{{ 7*7 }}'


class Reader(HTMLParser):
    """The text, tags and links of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.events: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("href", "src", "xlink:href", "action")]
        self.events += [key for key, _ in attrs if key.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


def _visible(page: str) -> str:
    return " ".join(Reader(page).text.replace("\u00a0", " ").split())


def _tables(page: Page) -> list[Table]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Table)]


def _facts(page: Page) -> list[Facts]:
    return [block for section in page.sections for block in section.blocks if isinstance(block, Facts)]


def test_the_verdict_comes_first(make_report: MakeReport) -> None:
    data = make_report()
    html, text = render(data)
    sentence = data["verdict"]["sentence"]
    body = _visible(html[html.index("<body>") :])
    assert body.startswith(f"exapt promoters HELPS {sentence[:60]}")
    assert sentence in body
    assert text.splitlines()[2] == f"**HELPS.** {clean(sentence)}"


def test_html_and_markdown_carry_the_same_numbers(make_report: MakeReport) -> None:
    data = make_report()
    html, text = render(data)
    page, seen = build(jsonable(data)), _visible(html)
    assert len(_tables(page)) >= 8
    for table in _tables(page):
        for cell in (cell for row in table.rows for cell in row):
            assert cell.text in seen and cell.detail in seen
            assert clean(cell.words) in text
    for pair in (pair for block in _facts(page) for pair in block.pairs):
        assert all(part in seen for part in pair) and all(clean(part) in text for part in pair)
    for note in page.notes:
        assert note in seen and clean(note) in text


def test_numbers_are_the_evidences_own(make_report: MakeReport) -> None:
    data = make_report()
    rows = data["verdict"]["main"]["budgets"]
    difference = next(s for s in build(data).sections if s.title == "Difference from scratch")
    table = next(block for block in difference.blocks if isinstance(block, Table))
    for shown, row in zip(table.rows, rows, strict=False):
        assert float(shown[3].text.replace("−", "-")) == pytest.approx(100 * row["mean"], abs=0.051)
        assert shown[4].text.startswith(row["verdict"])
    assert table.rows[-1][3].text == "+" + re.search(r"\+([\d.]+) points", data["verdict"]["sentence"])[1]  # type: ignore[index]


def test_every_number_leads_to_its_fit(make_report: MakeReport) -> None:
    data = make_report()
    html, text = render(data)
    links = Reader(html).links
    assert len(data["fits"]) == 150
    assert all(fit["file"] in links and f"({fit['file']})" in text for fit in data["fits"])


def test_the_page_is_self_contained_and_runs_nothing(make_report: MakeReport) -> None:
    html, _ = render(make_report())
    reader = Reader(html)
    assert not {"script", "iframe", "object", "embed", "img", "form"} & set(reader.tags)
    assert reader.events == []
    assert all(re.match(r"(data:,|fits/\d+\.json|report\.(md|json))$", link) for link in reader.links)
    assert "http:" not in html and "https:" not in html and "@import" not in html and "url(" not in html
    assert "default-src 'none'" in html
    assert len(html) < 300_000


def test_users_text_is_inert_everywhere(make_report: MakeReport) -> None:
    data = make_report(names={"frozen": HOSTILE})
    data |= {"title": HOSTILE, "about": HOSTILE, "method": [HOSTILE], "warnings": [HOSTILE], "data": {HOSTILE: HOSTILE}}
    data["curves"]["arms"]["scratch"]["what"] = HOSTILE
    data["verdict"]["sentence"] += " " + HOSTILE
    data["verdict"]["notes"] = [HOSTILE]
    data["fits"][0]["file"] = "javascript:alert(1)"
    data["fits"][1]["file"] = "../../etc/passwd"
    data["fits"][2]["file"] = "//example.org/x.json"
    html, text = render(data)
    reader = Reader(html)
    assert "script" not in reader.tags and "img" not in reader.tags and reader.events == []
    assert not [link for link in reader.links if "javascript" in link or ".." in link or "//" in link]
    assert reader.text.count("<script>window.hacked = 1</script>") >= 10
    assert "49" not in reader.text.split("{{ 7*7 }}")[0][-3:]
    bare = re.sub(r"\\[<>]", "", text)
    assert "<" not in bare and "](javascript" not in text and "](.." not in text and "](//" not in text


@pytest.mark.parametrize(
    ("settings", "badge"),
    [
        ({"effect": 0.05}, "HELPS"),
        ({"effect": -0.05}, "HARMS"),
        ({"effect": 0.001, "seeds": 10}, "EQUIVALENT"),
        ({"effect": 0.0, "seeds": 2}, ""),
        ({"effect": 0.05, "budgets": (64,)}, "HELPS"),
        ({"effect": 0.05, "budgets": (64, 128)}, "HELPS"),
        ({"effect": 0.05, "metric": "R²", "scale": 40.0}, "HELPS"),
    ],
)
def test_every_kind_of_study_renders(make_report: MakeReport, settings: dict[str, Any], badge: str) -> None:
    data = make_report(**settings)
    html, text = render(data)
    assert badge in ("", data["verdict"]["verdict"])
    assert data["verdict"]["sentence"] in _visible(html)
    assert "nan" not in _visible(html).lower().replace("finance", "") and "None" not in _visible(html)
    assert not re.search(r'="[^"]*nan[^"]*"', html)
    assert text.endswith("\n")


def test_missing_parts_are_left_out() -> None:
    html, text = render({"title": "t", "verdict": {"sentence": "Nothing yet.", "verdict": "INCONCLUSIVE"}})
    assert "Nothing yet." in html and "<section>" not in html
    assert text == "# t\n\n**INCONCLUSIVE.** Nothing yet.\n"
    assert "No verdict was reached." in render({})[0]


def test_failures_are_shown_with_what_they_change(make_report: MakeReport) -> None:
    shown = _visible(render(make_report())[0])
    assert "loss not finite at step 41" in shown and "Without the seeds in which one of the two arms failed: +" in shown
    assert "1 fit that diverged (scratch) is kept at the score of chance" in shown


def test_files_are_written_whole_and_repeat(make_report: MakeReport, tmp_path: Path) -> None:
    data = make_report()
    write_report(tmp_path, data)
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(first) == {"report.html", "report.md", "report.json"}
    assert json.loads(first["report.json"]) == jsonable(data)
    write_report(tmp_path, data)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == first
    assert render(json.loads(first["report.json"])) == (first["report.html"], first["report.md"])


def test_links_stay_beside_the_report() -> None:
    good = ["fits/a1.json", "a.json", "fits/sub-dir/a_b.json"]
    bad = ["/etc/passwd", "../a", "fits/../a", "http://x", "javascript:x", "//x/y", "a b.json", "", ".hidden", "data:x"]
    assert [Cell("x", link=link).safe_link for link in good] == good
    assert [Cell("x", link=link).safe_link for link in bad] == [""] * len(bad)


def test_values_in_words() -> None:
    said = [value_text(v) for v in (None, True, 12000, -0.5, [1, 2], {}, {"a": 1, "b": False}, "x", 1.0, 0.123456789)]
    assert said == ["–", "yes", "12,000", "−0.5", "1, 2", "none", "a 1; b no", "x", "1", "0.123457"]
    assert facts({"split": {"by_group": {"n": 1}}, "n": 2}).pairs == [("split · by group", "n 1"), ("n", "2")]


def test_markdown_takes_nothing_for_markup() -> None:
    assert clean("a|b\n# c <b> *d* [e](f) `g` ~~h~~") == r"a\|b \# c \<b\> \*d\* \[e\](f) \`g\` \~\~h\~\~"
    assert [clean(t) for t in ("1. x", "- x", "+ x", "+4.1", "1.5", "-x")] == [
        r"1\. x",
        r"\- x",
        r"\+ x",
        "+4.1",
        "1.5",
        "-x",
    ]
    page = Page(
        "t", "", "s", "v", sections=[Section("a|b", [Table(["h|h"], [[Cell("c|c", "d", link="x.json")]], "cap")])]
    )
    assert "| h\\|h |\n| --- |\n| [c\\|c (d)](x.json) |" in markdown(page)
