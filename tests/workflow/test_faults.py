"""A seeded part of each fault suite; `make faults` tries them in full."""

import importlib

import pytest


def lost(kind: str, count: int, seed: int, folder) -> list[str]:
    """The cases of a suite that were not survived."""
    found = list(importlib.import_module(f"faults.{kind}").cases(count, seed, folder))
    if not found:
        pytest.skip(f"{kind}: this needs root")
    return [f"{case.name}: {case.lost}: {case.told}" for case in found if case.lost]


def test_hostile_input_is_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the suite changes the working folder
    assert lost("hostile", 60, 1, tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("corruption", 8), ("kills", 2), ("isolation", 1), ("engines", 100)])
def test_faults_are_survived(kind, count, tmp_path):
    assert lost(kind, count, 2, tmp_path) == []
