"""The list of licences is complete."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_pin_is_in_the_list():
    spec = importlib.util.spec_from_file_location("licences", ROOT / "tools" / "licences.py")
    assert spec and spec.loader
    licences = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(licences)
    listed = (ROOT / "docs" / "develop" / "licences.md").read_text()
    missing = [pin for pin in licences.pinned() if f"| {' | '.join(pin)} |" not in listed]
    assert missing == [], "run make licences"
