"""Class maps come back as they were written, and damage is told, never read."""

import json
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard
from segbench.errors import InputError
from segbench.scoring.predictions import Predictions, PredictionsWriter, digest_of

MAPS = {name: np.random.default_rng(seed).integers(0, 19, (6, 8), np.uint8) for seed, name in enumerate("abc")}


@pytest.fixture
def written(tmp_path) -> Path:
    with PredictionsWriter(tmp_path / "predictions.zip", 6, 8) as writer:
        for name, class_map in MAPS.items():
            writer.add(name, class_map)
    return tmp_path / "predictions.zip"


def rewrite(path: Path, **members: bytes | None) -> None:
    """Replace members (`frames`, `part`, `index`) of an archive of one part; None leaves one out."""
    names = {"part": "0.json", "frames": "0.zst", "keys": "keys", "index": "index.json"}
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(file) for name, file in names.items()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in {**content, **members}.items():
            if data is not None:
                archive.writestr(names[name], data)


def part_of(path: Path) -> tuple[dict, bytes]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("0.json")), archive.read("0.zst")


def refusal(path: Path, image_id: str = "a") -> str:
    with pytest.raises(InputError) as error:
        _ = Predictions.open(path)[image_id]
    return str(error.value)


def test_maps_come_back(written):
    predictions = Predictions.open(written)
    assert (predictions.height, predictions.width, list(predictions.ids)) == (6, 8, ["a", "b", "c"])
    assert len(predictions) == 3
    for name in reversed(MAPS):
        assert predictions[name].dtype == np.uint8
        assert (predictions[name] == MAPS[name]).all()
    assert "a" in predictions
    assert "z" not in predictions


def test_the_frames_of_a_part_are_one_zstd_stream_of_the_raw_maps(written):
    with zstandard.ZstdDecompressor().stream_reader(part_of(written)[1], read_across_frames=True) as stream:
        assert stream.read() == b"".join(class_map.tobytes() for class_map in MAPS.values())


def test_many_parts_are_read_in_any_order_one_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("segbench.scoring.predictions.PART", 4)
    maps = {f"image {n}": np.full((6, 8), n, np.uint8) for n in range(10)}
    with PredictionsWriter(tmp_path / "p.zip", 6, 8) as writer:
        for name, class_map in maps.items():
            writer.add(name, class_map)
    predictions = Predictions.open(tmp_path / "p.zip")
    assert list(predictions.ids) == list(maps)
    names = list(maps)
    random.Random(0).shuffle(names)
    assert all((predictions[name] == maps[name]).all() for name in names)
    assert "image 10" not in predictions
    assert len(predictions._entries) <= 4


def test_maps_of_each_images_size_come_back_with_the_digests_of_the_engines_own(tmp_path, written):
    sizes = {"a": (3, 5), "b": (60, 80), "c": (6, 8)}
    maps = {name: np.full(size, 7, np.uint8) for name, size in sizes.items()}
    with PredictionsWriter(tmp_path / "sized.zip", 6, 8) as writer:
        for name, class_map in maps.items():
            writer.add_at_image_size(name, class_map, MAPS[name])
    sized, own = Predictions.open(tmp_path / "sized.zip"), Predictions.open(written)
    for name, size in sizes.items():
        assert (sized[name] == maps[name]).all() and sized[name].shape == sized.shape(name) == size
        assert sized.own_digest(name) == own.digest(name) == own.own_digest(name) != sized.digest(name)
    assert own.shape("a") == (6, 8)


@pytest.mark.parametrize("shape", [[1 << 20, 1 << 20], [-6, -8], [6], ["6", None], 3])
def test_shape_of_a_map_that_cannot_be_is_refused(tmp_path, shape):
    with PredictionsWriter(tmp_path / "p.zip", 6, 8) as writer:
        writer.add_at_image_size("a", MAPS["a"], MAPS["a"])
    part, _ = part_of(tmp_path / "p.zip")
    part["a"][4] = shape
    rewrite(tmp_path / "p.zip", part=json.dumps(part).encode())
    assert refusal(tmp_path / "p.zip").startswith(f"{tmp_path / 'p.zip'}: damaged (")


def test_equal_maps_have_equal_digests(tmp_path, written):
    with PredictionsWriter(tmp_path / "later.zip", 6, 8, keep_maps=False) as writer:
        writer.add("a", np.asfortranarray(MAPS["a"]))
        writer.add("b", MAPS["a"])
    first, later = Predictions.open(written), Predictions.open(tmp_path / "later.zip")
    assert first.digest("a") == later.digest("a") == later.digest("b") != first.digest("b")
    assert refusal(tmp_path / "later.zip").endswith(
        "later.zip: has digests of class maps only; the accuracy pass keeps class maps"
    )


def test_empty_file_is_valid(tmp_path):
    with PredictionsWriter(tmp_path / "none.zip", 0, 0):
        pass
    assert list(Predictions.open(tmp_path / "none.zip").ids) == []


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
    part, frames = part_of(written)
    _, _, start, size = part["a"]
    rewrite(written, frames=frames[:start] + b"no frame".ljust(size) + frames[start + size :])
    assert refusal(written) == f"{written}: class map of a is damaged (not what was written); delete it and run again"
    assert (Predictions.open(written)["c"] == MAPS["c"]).all()
    for frame, reason in [(zstandard.compress(b"123"), "(3 bytes instead of 6×8)"), (b"no frame", "(")]:
        entry = [part["a"][0], digest_of(frame), len(frames), len(frame)]
        rewrite(written, frames=frames + frame, part=json.dumps({**part, "a": entry}).encode())
        assert refusal(written).startswith(f"{written}: class map of a is damaged {reason}")


@pytest.mark.parametrize("member", ["part", "frames", "keys", "index"])
def test_missing_member_is_damage(written, member):
    rewrite(written, **{member: None})
    assert refusal(written).startswith(f'{written}: damaged ("There is no item named ')


@pytest.mark.parametrize("part", [b"[]", b"3", b"not JSON", b'{"a": 3}', b"{}"])
def test_damaged_part_is_refused(written, part):
    rewrite(written, part=part)
    assert refusal(written).startswith(f"{written}: damaged (")


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
