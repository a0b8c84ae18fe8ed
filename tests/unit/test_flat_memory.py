"""The memory of scoring and of the table does not grow with the number of images."""

import csv
import os
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
from helpers.report_made import Made
from segbench.files import write_json
from segbench.scoring.predictions import PredictionsWriter

SCRIPTS = Path(__file__).parents[2] / "workflow_scripts"
FEW, MANY = 50, 500
SIZE = (512, 1024)


def peak_bytes(script: str, *arguments: object) -> int:
    """Largest resident memory of a script's run."""
    process = subprocess.Popen([sys.executable, SCRIPTS / script, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return usage.ru_maxrss * 1024


def peak_of_scoring(folder: Path, images: int) -> int:
    folder.mkdir()
    label = np.kron(np.random.default_rng(0).integers(0, 19, (8, 16)), np.ones((64, 64))).astype(np.uint8)
    cv2.imwrite(str(folder / "label.png"), label)
    ids = [f"image{number}" for number in range(images)]
    with open(folder / "index.csv", "w", newline="") as stream:
        csv.writer(stream).writerows([("image_id", "label"), *((i, folder / "label.png") for i in ids)])
    for name, shift in (("predictions", 3), ("reference", 4)):
        with PredictionsWriter(folder / f"{name}.zip", *SIZE) as writer:
            for image_id in ids:
                writer.add(image_id, np.roll(label, shift, 1))
    write_json(folder / "run.json", {"status": "ok", "reason": ""})
    write_json(folder / "model.json", {"class_map": None, "has_trained_weights": True})
    classes = [f"class {number}" for number in range(19)]
    write_json(folder / "data.json", {"classes": classes, "ignore_index": 255, "id_map": None, "labelled": True})
    files = {"predictions": "predictions.zip", "run-status": "run.json", "model": "model.json", "dataset": "data.json"}
    files |= {"index": "index.csv", "reference": "reference.zip", "out": "score.json"}
    named = [f"--{option}={folder / name}" for option, name in files.items()]
    return peak_bytes(
        "score.py", *named, "--reference-name=x", "--agreement-bound=0.9", "--class-agreement-bound=0.9", "--jobs=2"
    )


def test_scoring_500_images_takes_the_memory_of_50(tmp_path):
    assert peak_of_scoring(tmp_path / "many", MANY) <= 1.1 * peak_of_scoring(tmp_path / "few", FEW)


def test_table_of_500_images_takes_the_memory_of_50(tmp_path):
    peaks = []
    for count in (FEW, MANY):
        made = Made(tmp_path / str(count), images=count)
        outputs = [f"--{name}={tmp_path / str(count) / name}" for name in ("csv", "markdown", "json", "tex")]
        peaks.append(peak_bytes("table.py", *made.arguments(), *outputs))
    assert peaks[1] <= 1.1 * peaks[0]


READ = """
import resource, sys
sys.path.insert(0, sys.argv[1])
from segbench.images.decoded import ImageReader
reader = ImageReader(sys.argv[2])
for number in range(int(sys.argv[3])):
    reader({"image": "", "image_id": "", "image_sha256": str(number)})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_reading_100_decoded_images_takes_the_memory_of_2(tmp_path):
    size, count = (512, 1024, 3), 100
    image = np.zeros(size, np.uint8)
    (tmp_path / "decoded.bin").write_bytes(image.tobytes() * count)
    entries = {str(n): [n * image.size, *size[:2], zlib.crc32(image.data)] for n in range(count)}
    write_json(tmp_path / "decoded.json", {"images": entries})
    peaks = []
    for number in (2, count):
        command = [sys.executable, "-c", READ, SCRIPTS, tmp_path / "decoded.json", str(number)]
        peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
    assert peaks[1] - peaks[0] < 8 * image.size / 1024
