"""Write the published page's form of the table for papers."""

from __future__ import annotations

from tabulate import tabulate

from segbench.table.markdown import page_cells
from segbench.table.row import Row


def to_latex(rows: list[Row]) -> str:
    """Write the published page's columns as a LaTeX tabular that needs booktabs."""
    header, cells = page_cells(rows)
    lines = tabulate(
        cells, header, tablefmt="latex_booktabs", disable_numparse=True, colalign=("left",) * 3 + ("right",) * 2
    )
    return f"% needs \\usepackage{{booktabs}}\n{lines}\n"
