"""Helpers beside a GPU bring the same images and keep the same class maps as the timed process alone."""

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from helpers.made import make_folder_dataset
from segbench.errors import Failed, InputError
from segbench.images.decoded import ImageReader
from segbench.images.normalize import Normalizer
from segbench.machine.cpu import this_machine
from segbench.scoring.predictions import Predictions, PredictionsWriter, digest_of
from segbench.timing.accuracy_pass import keep_class_maps
from segbench.timing.job import TimedSession
from segbench.timing.latencies import read_latencies
from segbench.timing.prefetch import PrefetchingSource
from segbench.timing.rounds import Round

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
    return PrefetchingSource(rows, writer, ImageReader(None), PREPROCESSING, (1, *SIZE), count)


TIMING = {
    "round_min_s": 0,
    "warm_up": {"max_runs": 3},
    "contention_share": 1.0,
    "max_repeats": 0,
    "drift_tolerance": 0.1,
}


def opened_on(device, preprocessing=PREPROCESSING):
    normalize = Normalizer(preprocessing, *SIZE)
    return TimedSession(Brightest(), ImageReader(None), normalize, preprocessing, device, this_machine(), 2, [])


def run_round(rows, folder: Path, device: str, preprocessing=PREPROCESSING, **timing):
    folder.mkdir()
    files = {name: folder / name for name in ("latencies", "replaced", "predictions")}
    facts = Round(opened_on(device, preprocessing), rows, {**files, "timing": {**TIMING, **timing}, "round": 1}).run()
    timed = [line.image for line in read_latencies(files["latencies"])]
    return timed, Predictions.open(files["predictions"]), facts


def test_first_mask_is_there_before_any_warm_up_is_over(rows, tmp_path):
    _, _, facts = run_round(rows, tmp_path / "cpu", "cpu")
    timed = read_latencies(tmp_path / "cpu" / "latencies")
    assert facts["warm_up_runs"] == 3
    assert facts["first_mask_s"] > facts["open_s"] == 0.0
    assert facts["first_mask_s"] not in [line.end_to_end_s for line in timed]


def test_pass_on_a_gpu_is_the_pass_on_a_cpu(rows, tmp_path):
    for device in ("gpu", "cpu"):
        keep_class_maps(opened_on(device), rows, tmp_path / device)
    ahead, alone = (Predictions.open(tmp_path / device) for device in ("gpu", "cpu"))
    assert list(ahead.ids) == list(alone.ids) == [row["image_id"] for row in rows]
    assert all((ahead[i] == alone[i]).all() and ahead.digest(i) == alone.digest(i) for i in alone.ids)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_round_times_whole_passes_over_the_same_images(rows, tmp_path, device):
    timed, digests, facts = run_round(rows, tmp_path / device, device, round_min_s=0.02)
    assert len(timed) % COUNT == 0
    assert all(timed.count(row["image_id"]) == len(timed) // COUNT for row in rows)
    keep_class_maps(opened_on("cpu"), rows, tmp_path / "pass")
    scored = Predictions.open(tmp_path / "pass")
    assert sorted(digests.ids) == sorted(scored.ids)
    assert all(digests.digest(i) == scored.digest(i) for i in scored.ids)
    assert facts["changed"] == []


def test_round_of_windows_is_the_same_on_a_gpu_and_a_cpu(tmp_path):
    rows, inputs = [], []
    sliding = {**PREPROCESSING, "window": {"stride": {"height": 16, "width": 40}}}
    prepare = Normalizer(sliding, *SIZE)
    for number, size in enumerate([(32, 64), (60, 120), (40, 64)]):
        path = str(make_folder_dataset(tmp_path / str(number), 1, *size, seed=number) / "val" / "scene 00.png")
        row = {"image_id": str(number), "image": path, "image_sha256": "", "height": size[0], "width": size[1]}
        rows.append(row)
        inputs.append(prepare(ImageReader(None)(row)).copy())
    assert [len(one) for one in inputs] == [1, 9, 2]
    for device in ("cpu", "gpu"):
        timed, digests, facts = run_round(rows, tmp_path / device, device, sliding, round_min_s=0.02)
        assert timed[:3] == ["0", "1", "2"] and facts["changed"] == []
        for number, windows in enumerate(inputs):
            below = np.concatenate([one.argmax(0) for one in windows]).astype(np.uint8)
            assert digests.digest(str(number)) == digest_of(below)


class Forgetful(Brightest):
    """A session whose second class map of an image is another."""

    runs = 0

    def download(self):
        self.runs += 1
        return self._map + np.uint8(self.runs > COUNT)


def test_class_maps_that_change_within_a_round_are_named(rows, tmp_path):
    files = {name: tmp_path / name for name in ("latencies", "replaced", "predictions")}
    opened = dataclasses.replace(opened_on("cpu"), session=Forgetful())
    request = {**files, "timing": {**TIMING, "warm_up": {"max_runs": COUNT}}, "round": 1}
    assert Round(opened, rows, request).run()["changed"] == sorted(row["image_id"] for row in rows)


def test_latencies_of_a_repeated_round_are_kept(rows, tmp_path):
    timed, _, facts = run_round(rows, tmp_path / "busy", "cpu", contention_share=-1.0, max_repeats=2)
    replaced = read_latencies(tmp_path / "busy" / "replaced")
    assert (facts["repeats"], len(timed), len(replaced)) == (2, COUNT, 2 * COUNT)


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
