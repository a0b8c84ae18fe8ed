"""Every relative link of every Markdown page leads to a file that is there, and to a heading that it has."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.M | re.S)


def pages() -> list[str]:
    """Every Markdown page that is committed, or about to be: no environment's, no result's."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    return sorted(name for name in names if (ROOT / name).exists())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, by GitHub's rule: lower case, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCE.sub("", page.read_text()), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    found = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        if re.match(r"[a-z]+:", link):
            continue
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("name", pages())
def test_links_lead_somewhere(name):
    assert broken(ROOT / name) == []


def test_a_missing_file_and_a_missing_heading_are_found(tmp_path):
    (tmp_path / "other.md").write_text("# A/B: `one`, two\n```\n# no heading\n```\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[file](other.md) [heading](other.md#ab-one-two) [code](other.md#no-heading) [gone](gone.md) [here](#gone)\n"
        "[outside](https://example.org/gone)\n"
    )
    assert broken(page) == ["other.md#no-heading", "gone.md", "#gone"]


def test_every_page_of_the_docs_is_named_in_the_readme_or_beside_it():
    named = (ROOT / "README.md").read_text() + (ROOT / "CONTRIBUTING.md").read_text()
    assert [name for name in pages() if name.startswith("docs/") and f"({name})" not in named] == []


def test_every_file_that_contributing_names_is_there():
    tops = (ROOT, ROOT / "workflow_scripts" / "segbench")
    table = (ROOT / "CONTRIBUTING.md").read_text().split("## How the code is laid out")[0]
    named = [path for path in re.findall(r"`([\w/]+/(?:\w+\.\w+)?)`", table) if not path.startswith("rules/X")]
    assert len(named) > 20
    assert [path for path in named if not any((top / path).exists() for top in tops)] == []
