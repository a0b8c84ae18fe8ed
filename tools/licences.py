"""Write docs/develop/licences.md: the licence of every pinned dependency, as its installed package states it."""

from __future__ import annotations

import importlib.metadata
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PIN = re.compile(r"^([\w.-]+)==([\w.+]+)", re.MULTILINE)
HEADING = """# Licences of the pinned dependencies

Made by `python tools/licences.py` from what the installed packages state. The packages of `envs/gpu.yaml` are
not in it: they are installed on GPU machines only.

| package | version | needed for | licence |
|---|---|---|---|
"""


def pinned() -> list[tuple[str, str, str]]:
    """Return name, version and requirements file of every pin."""
    files = sorted((ROOT / "requirements").glob("*.txt"))
    return sorted((name, version, file.stem) for file in files for name, version in PIN.findall(file.read_text()))


def licence_of(name: str) -> str:
    """Return the licence expression, else the classifiers, else the first line of the free text."""
    try:
        facts: Any = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed where this list was made"
    classifiers = [
        text.split(" :: ")[-1] for text in facts.get_all("Classifier") or () if text.startswith("License ::")
    ]
    stated = facts.get("License-Expression") or ", ".join(classifiers) or (facts.get("License") or "").split("\n")[0]
    return stated.strip()[:80] or "not stated"


def main() -> None:
    """Write the list."""
    rows = [f"| {name} | {version} | {file} | {licence_of(name)} |" for name, version, file in pinned()]
    (ROOT / "docs" / "develop" / "licences.md").write_text(HEADING + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
