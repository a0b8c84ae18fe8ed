"""Decoded images are the images, and whatever is wrong with them is told."""

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from decode_images import main
from helpers.made import make_folder_dataset
from segbench.errors import InputError
from segbench.images.decoded import ImageReader, decode, pixels_of
from segbench.images.read import read_image


def row_of(path: Path) -> dict[str, str]:
    height, width = read_image(path).shape[:2]
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {
        "image_id": path.stem,
        "image": str(path),
        "height": str(height),
        "width": str(width),
        "image_sha256": digest,
    }


@pytest.fixture
def rows(tmp_path):
    """Images of two sizes."""
    folders = [make_folder_dataset(tmp_path / "a", 3), make_folder_dataset(tmp_path / "b", 2, 40, 50, seed=1)]
    return [row_of(path) for folder in folders for path in sorted((folder / "val").glob("*.png"))]


@pytest.fixture
def decoded(rows, tmp_path):
    decode(rows, tmp_path / "decoded.json", 3)
    return tmp_path / "decoded.json"


def test_decoded_images_are_the_images(rows, decoded):
    expected = [read_image(row["image"]) for row in rows]
    for row in rows:
        Path(row["image"]).unlink()
    reader = ImageReader(decoded)
    assert all((reader(row) == image).all() for row, image in zip(rows, expected, strict=True))
    assert pixels_of(decoded).stat().st_size == sum(image.nbytes for image in expected)


def test_image_that_is_not_among_them_is_decoded(rows, tmp_path):
    decode([], tmp_path / "decoded.json", 1)
    assert (ImageReader(tmp_path / "decoded.json")(rows[0]) == read_image(rows[0]["image"])).all()
    assert (ImageReader(None)(rows[0]) == read_image(rows[0]["image"])).all()


def test_size_is_told_before(rows, decoded, capsys, tmp_path):
    decode(rows, decoded, 1)
    assert capsys.readouterr().out.startswith(f"{tmp_path}/decoded.bin: 5 decoded images, 0 MB; its disk has ")


def test_disk_without_room_is_refused_before_anything_is_written(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=3 * 10**6))
    rows[0] |= {"height": "1024", "width": "2048"}
    with pytest.raises(InputError) as error:
        decode(rows, tmp_path / "decoded.json", 1)
    assert str(error.value) == (
        f"{tmp_path}/decoded.bin: would take 6 MB, its disk has 3 MB free; make room, or set decoded_images: false"
    )
    assert not list(tmp_path.glob("*decoded*"))


def test_image_that_changed_since_it_was_indexed_is_refused(rows, tmp_path):
    shutil.copy(rows[0]["image"], rows[1]["image"])
    with pytest.raises(InputError, match="has changed since it was indexed"):
        decode(rows, tmp_path / "decoded.json", 2)
    assert not list(tmp_path.glob("*decoded*"))


@pytest.mark.parametrize("damage", ["changed", "truncated", "empty", "missing"])
def test_damaged_pixels_are_noticed(rows, decoded, damage):
    pixels = pixels_of(decoded)
    data = bytearray(pixels.read_bytes())
    data[-5] ^= 1
    written = {"changed": bytes(data), "truncated": bytes(data[:-1]), "empty": b"", "missing": b""}[damage]
    pixels.write_bytes(written)
    if damage == "missing":
        pixels.unlink()
    with pytest.raises(InputError, match=rf"decoded\.bin: .*; delete it and .*{decoded.name}, and run again"):
        ImageReader(decoded)(rows[-1])


def test_command_keeps_nothing_when_told_so(rows, tmp_path, monkeypatch):
    index = tmp_path / "index.csv"
    index.write_text("\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)]) + "\n")
    arguments = ["decode_images.py", "--index", str(index), "--decoded", str(tmp_path / "decoded.json")]
    monkeypatch.setattr("sys.argv", [*arguments, "--keep", "no"])
    main()
    assert pixels_of(tmp_path / "decoded.json").stat().st_size == 0
