"""Class maps come back as they were written, and damage is told, never read."""

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard
from segbench.errors import InputError
from segbench.predictions import Predictions, PredictionsWriter, digest_of

MAPS = {name: np.random.default_rng(seed).integers(0, 19, (6, 8), np.uint8) for seed, name in enumerate("abc")}


@pytest.fixture
def written(tmp_path) -> Path:
    with PredictionsWriter(tmp_path / "predictions.zip", 6, 8) as writer:
        for name, class_map in MAPS.items():
            writer.add(name, class_map)
    return tmp_path / "predictions.zip"


def rewrite(path: Path, **entries: bytes | None) -> None:
    """Replace entries (`a` for a.zst, `index`) of the archive; None leaves one out."""
    names = {"index": "index.json", **{name: f"{name}.zst" for name in MAPS}}
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(file) for name, file in names.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**content, **entries}.items():
            if data is not None:
                archive.writestr(names[name], data)


def index_of(path: Path) -> dict:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("index.json"))


def refusal(path: Path, image_id: str = "a") -> str:
    with pytest.raises(InputError) as error:
        _ = Predictions.open(path)[image_id]
    return str(error.value)


def test_maps_come_back(written):
    predictions = Predictions.open(written)
    assert (predictions.height, predictions.width, predictions.ids) == (6, 8, ["a", "b", "c"])
    for name in reversed(MAPS):
        assert predictions[name].dtype == np.uint8
        assert (predictions[name] == MAPS[name]).all()
    assert "a" in predictions
    assert "z" not in predictions


def test_every_entry_is_a_zstd_frame_of_the_raw_map(written):
    with zipfile.ZipFile(written) as archive:
        assert zstandard.decompress(archive.read("b.zst")) == MAPS["b"].tobytes()


def test_equal_maps_have_equal_digests(tmp_path, written):
    with PredictionsWriter(tmp_path / "later.zip", 6, 8, keep_maps=False) as writer:
        writer.add("a", np.asfortranarray(MAPS["a"]))
        writer.add("b", MAPS["a"])
    first, later = Predictions.open(written), Predictions.open(tmp_path / "later.zip")
    assert first.digest("a") == later.digest("a") == later.digest("b") != first.digest("b")
    assert refusal(tmp_path / "later.zip").endswith(
        "later.zip: has digests of class maps only; class maps are kept by the first round"
    )


def test_empty_file_is_valid(tmp_path):
    with PredictionsWriter(tmp_path / "none.zip", 0, 0):
        pass
    assert Predictions.open(tmp_path / "none.zip").ids == []


def test_file_appears_only_when_it_is_complete(tmp_path):
    with pytest.raises(RuntimeError), PredictionsWriter(tmp_path / "half.zip", 6, 8) as writer:
        writer.add("a", MAPS["a"])
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("class_map", "message"),
    [
        (np.zeros((8, 6), np.uint8), r"class map of x: uint8 \(8, 6\), expected uint8 \(6, 8\)"),
        (np.zeros((6, 8), np.int64), r"class map of x: int64 \(6, 8\), expected uint8 \(6, 8\)"),
    ],
)
def test_map_of_another_kind_is_refused(tmp_path, class_map, message):
    with pytest.raises(ValueError, match=message), PredictionsWriter(tmp_path / "x.zip", 6, 8) as writer:
        writer.add("x", class_map)


def test_image_added_twice_is_refused(tmp_path):
    with pytest.raises(ValueError, match="added before"), PredictionsWriter(tmp_path / "x.zip", 6, 8) as writer:
        writer.add("a", MAPS["a"])
        writer.add("a", MAPS["b"])


def test_missing_file_and_image_are_named(tmp_path, written):
    with pytest.raises(InputError, match=r"gone\.zip: no such file$"):
        Predictions.open(tmp_path / "gone.zip")
    assert refusal(written, "z") == f"{written}: has no class map of z"


def test_truncated_archive_is_refused(written):
    whole = written.read_bytes()
    for size in (0, 1, len(whole) // 2, len(whole) - 1):
        written.write_bytes(whole[:size])
        assert refusal(written) == f"{written}: damaged (File is not a zip file); delete it and run again"


def test_damage_of_one_map_names_its_image(written):
    other = zstandard.compress(MAPS["b"].tobytes())
    short = zstandard.compress(b"123")
    index = index_of(written)
    for data, reason in [
        (b"no frame", "not what was written"),
        (other, "not what was written"),
        (None, "There is no item named 'a.zst' in the archive"),
    ]:
        rewrite(written, a=data, index=json.dumps(index).encode())
        shown = f'"{reason}"' if data is None else reason
        assert refusal(written) == f"{written}: class map of a is damaged ({shown}); delete it and run again"
        assert (Predictions.open(written)["c"] == MAPS["c"]).all()
        rewrite_whole(written)
    index["frames"]["a"] = digest_of(short)
    rewrite(written, a=short, index=json.dumps(index).encode())
    assert refusal(written) == f"{written}: class map of a is damaged (3 bytes instead of 6×8); delete it and run again"
    index["frames"]["a"] = digest_of(b"no frame")
    rewrite(written, a=b"no frame", index=json.dumps(index).encode())
    assert refusal(written).startswith(f"{written}: class map of a is damaged (")


def rewrite_whole(path: Path) -> None:
    with PredictionsWriter(path, 6, 8) as writer:
        for name, class_map in MAPS.items():
            writer.add(name, class_map)


@pytest.mark.parametrize("index", [b"[]", b"{}", b"not JSON", b'{"digests": 3}', b"\xff", None])
def test_damaged_index_is_refused(written, index):
    rewrite(written, index=index)
    assert refusal(written).startswith(f"{written}: damaged (")


def test_no_single_changed_byte_goes_unnoticed(written):
    """Any byte of the file: the maps are what was written, or the damage is told."""
    whole, chooser = written.read_bytes(), random.Random(0)
    for at in chooser.sample(range(len(whole)), 300):
        changed = bytearray(whole)
        changed[at] ^= 1 << chooser.randrange(8)
        written.write_bytes(bytes(changed))
        try:
            predictions = Predictions.open(written)
            assert all((predictions[name] == MAPS[name]).all() for name in MAPS)
        except InputError as error:
            assert str(written) in str(error)
