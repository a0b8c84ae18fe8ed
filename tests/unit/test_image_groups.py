"""A loss on dark or on large images alone is found where it was planted, and an even one is not."""

import json

import cv2
import numpy as np
import pytest
from decode_images import decode
from helpers.report_made import Made
from measure_brightness import luma, measure
from segbench.images.index import read_index
from segbench.report.image_groups import changes, dealt, image_groups
from segbench.report.page import page
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.predictions import key_of
from test_report_page import Reader, content_of, made_rows

LOST = {"paddle-fp32": (0, 0), "openvino-int8": (40, 0), "openvino-int8-table": (20, 20)}  # on every third image, else


def planted(folder, size=(16, 32)):
    """Rows of 30 images of 16×32. Every third one is dark and of `size`."""
    made = Made(folder, models={"first": "PSPNet (narrow)"}, variants=tuple(LOST), images=30)
    hard = np.random.default_rng(0).integers(600, 900, 30)
    for variant, lost in LOST.items():
        path, found = made.results / f"scores/made/first/{variant}.json", ImageCounts()
        for n, image_id in enumerate(made.ids):
            found.add(key_of(image_id), np.array([[hard[n] - lost[n % 3 > 0], 50], [1000, 100], [1000, 100]]))
        path.write_text(json.dumps(json.loads(path.read_text()) | {"image_counts": found.packed()}))
    data = made.results / "data/made/val"
    bright = {name: (0.8 if n % 3 else 0.2) + n / 1000 for n, name in enumerate(made.ids)}
    (data / "brightness.json").write_text(json.dumps({"status": "ok", "reason": "", "luma": bright}))
    head, *lines = (data / "index.csv").read_text().splitlines()
    lines[::3] = [line.replace(",16,32,", ",{},{},".format(*size)) for line in lines[::3]]
    (data / "index.csv").write_text("\n".join([head, *lines]))
    return made


def test_loss_on_dark_images_is_found_among_them_and_nowhere_else(tmp_path):
    made = planted(tmp_path)
    by_brightness, by_size = image_groups(made.results, made_rows(made))
    (_, dark), (_, even) = by_brightness.cells
    assert dark[1] == "darkest" and dark[4:] == ["0.0000 (0.0000 to 0.0000)"] * 2
    assert dark[3].startswith("-0.02") and dark[2].startswith(dark[3].split()[0])
    assert even[1] == "" and all(cell.startswith("-0.01") for cell in even[3:])
    told = (
        "1 of 2 rows shown to lose more on the darkest images than on the brightest; 0 the other way round. Images by"
        " luma: darkest 10 (0.2–0.227), middle 10 (0.801–0.814), brightest 10 (0.816–0.829)."
    )
    assert (by_brightness.said, by_size.said, by_size.cells) == (told, "all images have one size.", ())
    text = page(content_of(made))
    section = Reader(text[text.index('<section id="images"') : text.index('<section id="rows"')]).text
    assert f"By brightness: {told}" in section and dark[2] in section and "By size: all images have one" in section


def test_loss_on_large_images_is_found_where_sizes_differ(tmp_path):
    made = planted(tmp_path, size=(400, 500))
    by_size = image_groups(made.results, made_rows(made))[1]
    assert by_size.said.endswith("Images by megapixels: smallest 20 (0.000512), largest 10 (0.2).")
    assert [cells[1] for _, cells in by_size.cells] == ["largest", ""]


def test_few_images_and_unknown_brightness_are_told(tmp_path):
    made = Made(tmp_path, images=16)
    told = "too few images to compare the darkest with the brightest: a group has 5 of 16, and an interval needs 8."
    assert image_groups(made.results, made_rows(made))[0][1:] == (told, (), ())
    record = {"status": "refused", "reason": "a.png: is gone", "luma": {}}
    (made.results / "data/made/val/brightness.json").write_text(json.dumps(record))
    assert image_groups(made.results, made_rows(made))[0].said == "it is not known (a.png: is gone)."


def test_even_losses_are_rarely_flagged():
    """Of 100 rows whose images lose at random, 5 are expected to be flagged; 12 or more would be once in 200 times."""
    random, flagged = np.random.default_rng(0), 0
    for _ in range(100):
        right = random.integers(600, 900, (30, 1, 4))
        hits = right - random.integers(0, 60, (30, 1, 4)) * np.array([[1], [0]])
        counts = np.stack([hits, *np.full((2, 30, 2, 4), 1000)], 2)
        low, high = changes(counts, np.split(np.arange(30), 3))[-1].interval
        flagged += not low <= 0 <= high
    assert flagged < 12


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([3, 1, 2, 5, 4, 6, 7], [[0, 1, 2], [3, 4], [5, 6]]),
        ([2, 1, 1, 1, 1, 1], [[1, 2, 3, 4, 5], [0]]),
        ([1, 1, 1, 1, 2, 3, 4, 5], [[0, 1, 2, 3], [4, 5], [6, 7]]),
        ([1, 2, 3, 5, 5, 5, 5, 5, 5, 5], [[0, 1, 2], [3, 4, 5, 6, 7, 8, 9]]),
        ([7, 7], [[0, 1]]),
    ],
)
def test_images_are_dealt_by_value_and_equal_ones_stay_together(values, groups):
    assert [one.tolist() for one in dealt(np.array(values, float))] == groups


def test_brightness_is_the_mean_luma_of_files_and_of_kept_pixels_alike(tmp_path):
    assert luma(np.zeros((4, 5, 3), np.uint8)) == 0 and luma(np.full((4, 5, 3), 255, np.uint8)) == pytest.approx(1)
    rows = read_index(Made(tmp_path).results / "data/made/val/index.csv")
    (tmp_path / "none.json").write_text('{"images": {}}')
    of_files = measure(rows, tmp_path / "none.json")
    grey = {row["image_id"]: cv2.imread(row["image"], cv2.IMREAD_GRAYSCALE).mean() / 255 for row in rows}
    assert of_files == pytest.approx(grey, abs=0.002) and len(of_files) == 4
    decode(rows[:1], tmp_path / "decoded.json", 1)
    assert measure(rows[:1], tmp_path / "decoded.json") == {rows[0]["image_id"]: of_files[rows[0]["image_id"]]}
