"""Helpers beside a GPU bring the same images and keep the same class maps as the timed process alone."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.made import make_folder_dataset
from infer import Round
from segbench.errors import Failed, InputError
from segbench.images.decoded import ImageReader
from segbench.images.normalize import Normalizer
from segbench.machine.cpu import this_machine
from segbench.scoring.predictions import Predictions, PredictionsWriter
from segbench.timing import clock
from segbench.timing.job import TimedSession
from segbench.timing.prefetch import PrefetchingSource

PREPROCESSING = {"channel_order": "rgb", "scale": 1 / 255, "mean": [0.5] * 3, "std": [0.5] * 3, "resize": "none"}
SIZE = (32, 64)
COUNT = 11


class Brightest:
    """A stand-in for a GPU's session: the class of a pixel is its brightest channel."""

    def upload(self, image):
        self._image = image

    def execute(self):
        self._map = self._image[0].argmax(0).astype(np.uint8)

    def synchronize(self):
        pass

    def download(self):
        return self._map


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    root = make_folder_dataset(tmp_path_factory.mktemp("made") / "set", COUNT)
    images = sorted((root / "val").glob("*.png"))
    return [{"image_id": path.stem, "image": str(path), "image_sha256": ""} for path in images]


@pytest.fixture
def writer(tmp_path):
    with PredictionsWriter(tmp_path / "x.zip", *SIZE) as made:
        yield made


def ahead(rows, writer, count=3):
    return PrefetchingSource(rows, writer, ImageReader(None), PREPROCESSING, SIZE, count)


def run_round(rows, folder: Path, device: str, stop=None):
    folder.mkdir()
    opened = TimedSession(
        Brightest(), ImageReader(None), Normalizer(PREPROCESSING, *SIZE), PREPROCESSING, device, this_machine(), 2, []
    )
    request = {"latencies": folder / "l.csv", "predictions": folder / "p.zip", "timing": {}, "round": 1}
    disturbance = Round(opened, rows, request).run(stop or clock.Stop())
    with open(folder / "l.csv", newline="") as stream:
        timed = [row["image"] for row in csv.DictReader(stream)]
    return timed, Predictions.open(folder / "p.zip"), disturbance


def test_round_on_a_gpu_is_the_round_on_a_cpu(rows, tmp_path):
    timed, predictions, _ = run_round(rows, tmp_path / "gpu", "gpu")
    expected, alone, _ = run_round(rows, tmp_path / "cpu", "cpu")
    assert timed == list(predictions.ids) == expected == [row["image_id"] for row in rows]
    assert all((predictions[i] == alone[i]).all() and predictions.digest(i) == alone.digest(i) for i in timed)


def test_round_that_ends_early_keeps_what_was_timed(rows, tmp_path):
    timed, predictions, _ = run_round(rows, tmp_path / "gpu", "gpu", clock.Stop(budget_s=1e-9))
    assert timed == list(predictions.ids) == [rows[0]["image_id"]]


@pytest.mark.parametrize("count", [1, 4])
def test_images_come_in_order_whatever_the_number_of_helpers(rows, writer, count):
    normalize, read = Normalizer(PREPROCESSING, *SIZE), ImageReader(None)
    with ahead(rows, writer, count) as feed:
        for number, (row, image) in enumerate(feed.images()):
            assert row is rows[number]
            assert image.tobytes() == normalize(read(row)).tobytes()
    assert number == COUNT - 1


def test_damaged_image_is_told_when_it_is_due(rows, writer, tmp_path):
    bad = [*rows[:2], {**rows[2], "image": str(tmp_path / "gone.png")}, *rows[3:]]
    seen = []
    with pytest.raises(InputError, match=r"gone\.png: cannot be read"), ahead(bad, writer) as feed:
        seen.extend(row["image_id"] for row, _ in feed.images())
    assert seen == [row["image_id"] for row in rows[:2]]


def test_helper_that_dies_fails_the_row(rows, writer):
    with ahead(rows, writer) as feed:
        os.kill(feed.helpers[1], 9)
        with pytest.raises(Failed, match="a process that prepares images has died"):
            list(feed.images())


def test_class_map_of_another_size_is_refused(rows, writer):
    with ahead(rows, writer, 1) as feed:
        next(feed.images())
        with pytest.raises(ValueError, match="expected uint8"):
            feed.save("x", np.zeros((1, 64), np.uint8))


def test_no_helper_outlives_the_round(rows, tmp_path, writer):
    with ahead(rows, writer, 2) as feed:
        helpers = feed.helpers
    assert not any(Path(f"/proc/{process}").exists() for process in helpers)
