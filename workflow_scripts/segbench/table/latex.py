"""Write the published page's form of the table for papers."""

from __future__ import annotations

from tabulate import LATEX_ESCAPE_RULES

from segbench.table import distrust
from segbench.table.cells import legend, resolution, time_cell
from segbench.table.markdown import page_cells
from segbench.table.row import Row

ESCAPES = str.maketrans(LATEX_ESCAPE_RULES | {"±": r"$\pm$", "–": "--"})


def to_latex(rows: list[Row]) -> str:
    """Write the published page's columns as a LaTeX tabular that needs booktabs, and its notes below."""
    header, cells = page_cells(rows)
    first = distrust.first_hardware(rows)
    marks = [time_cell(row, first).marks for row in rows]
    body = [_line([*line[:-1], line[-1].removesuffix(mark)], mark) for line, mark in zip(cells, marks, strict=True)]
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{tabular}{lllrl}",
        r"\toprule",
        _line(header),
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *_notes(rows),
    ]
    return "\n".join(lines) + "\n"


def _line(cells: list[str], marks: str = "") -> str:
    """Write a row, with the marks of its last cell as a superscript."""
    return f"{' & '.join(map(escaped, cells))}{_raised(marks)} \\\\"


def _notes(rows: list[Row]) -> list[str]:
    """Write footnotes: the legend of the times, and which differences cannot be told."""
    signs = [
        f"{_raised(sign)} {escaped(meaning)}" if sign in distrust.REASONS else escaped(f"{sign}: {meaning}")
        for sign, meaning in legend(rows).items()
    ]
    texts = [text for text in (signs and "; ".join(signs) + ".", escaped(resolution(rows))) if text]
    return [r"\par\smallskip{\footnotesize " + r"\par ".join(texts) + r"\par}"] if texts else []


def _raised(marks: str) -> str:
    return rf"\textsuperscript{{{marks}}}" if marks else ""


def escaped(text: str) -> str:
    """Escape a name, so that nothing in it is a command of LaTeX."""
    return " ".join(text.split()).translate(ESCAPES)
