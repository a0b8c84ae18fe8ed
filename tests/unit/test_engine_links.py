"""An engine's files are links to the model's, which neither a new export nor a deleted engine changes."""

import os
import shutil
from pathlib import Path

import pytest
from segbench.files import atomic, link_files


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.pdiparams"
    path.write_bytes(b"weights")
    return path


def test_an_engine_shares_its_bytes_with_the_model(model, tmp_path):
    link_files([model], tmp_path / "engine")
    assert (tmp_path / "engine" / model.name).samefile(model)


def test_a_new_export_leaves_the_engine_as_it_was_built(model, tmp_path):
    link_files([model], tmp_path / "engine")
    with atomic(model) as temporary:
        temporary.write_bytes(b"other weights")
    assert (tmp_path / "engine" / model.name).read_bytes() == b"weights"
    shutil.rmtree(tmp_path / "engine")
    assert model.read_bytes() == b"other weights"


def test_another_disk_gets_a_copy(model):
    shared = Path("/dev/shm")
    if not shared.is_dir() or shared.stat().st_dev == model.stat().st_dev:
        pytest.skip("there is no second disk")
    engine = shared / f"segbench-{os.getpid()}"
    try:
        link_files([model], engine)
        assert (engine / model.name).read_bytes() == b"weights"
    finally:
        shutil.rmtree(engine, ignore_errors=True)
