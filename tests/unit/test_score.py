"""score.json says what the class maps are worth, and why a figure is missing."""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import score
import sklearn.metrics
from helpers.published_measures import mean_boundary_iou
from segbench.errors import InputError
from segbench.files import read_json, sha256_of
from segbench.scoring import score_record
from segbench.scoring.bootstrap import mean_iou
from segbench.scoring.confusion import confusion_matrix, iou_counts
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.predictions import PredictionsWriter, key_of

SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "score.py"
CLASSES = ["road", "car", "person", "sky"]
HEIGHT, WIDTH = 12, 20
OK = {"status": "ok", "reason": ""}


class Run:
    """The files of a run in `folder`: labels, class maps that are wrong here and there, a reference."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        self.folder, random = folder, np.random.default_rng(0)
        self.ids = [f"image{number}" for number in range(count)]
        self.labels = random.integers(0, 4, (count, HEIGHT, WIDTH)).astype(np.uint8)
        self.labels[:, -2:] = 255
        self.maps = np.where(random.random(self.labels.shape) < 0.2, 3, self.labels % 4).astype(np.uint8)
        self.options: dict = {
            "reference_status": "",
            "agreement_bound": 0.9995,
            "class_agreement_bound": 0.9,
            "jobs": 2,
            "ignored_pixels": "excluded",
            "boundary_width": 0.02,
            "objects": None,
            "shard": "0",
            "single": None,
        }
        self.write("model", {"class_map": None, "has_trained_weights": True})
        self.write("run", OK)
        self.describe()
        for image_id, label in zip(self.ids, self.labels, strict=True):
            cv2.imwrite(str(folder / f"{image_id}.png"), label)
        with open(folder / "index.csv", "w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(("image_id", "image", "label", "height", "width", "image_sha256"))
            table.writerows((i, "", folder / f"{i}.png", HEIGHT, WIDTH, "") for i in self.ids)
        self.predict("predictions", self.maps)
        self.predict("reference", self.maps)

    def write(self, name: str, content: object) -> Path:
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(content))
        return path

    def describe(self, **more: object) -> None:
        facts = {"classes": CLASSES, "ignore_index": 255, "id_map": None}
        self.write("dataset", {**facts, "labelled": True, **more})

    def add_instances(self) -> np.ndarray:
        """Write ids of instances of `car` and `person`: each column of an image is one. Returns them."""
        ids = {1: 26, 2: 24}
        columns = np.broadcast_to(np.arange(WIDTH), self.labels.shape)
        maps = [np.where(self.labels == train_id, 1000 * number + columns, 0) for train_id, number in ids.items()]
        instances = np.sum(maps, axis=0).astype(np.uint16)
        self.describe(instances={"26": [1, 750.5], "24": [2, 325.25], "29": [255, 2.0]})
        with open(self.folder / "index.csv", newline="") as stream:
            rows = list(csv.DictReader(stream))
        for row, one in zip(rows, instances, strict=True):
            path = self.folder / f"{row['image_id']}_instances.png"
            cv2.imwrite(str(path), one)
            row |= {"instances": str(path), "instances_sha256": sha256_of(path)}
        with open(self.folder / "index.csv", "w", newline="") as stream:
            table = csv.DictWriter(stream, rows[0])
            table.writeheader()
            table.writerows(rows)
        return instances

    def predict(self, name: str, maps: np.ndarray, ids: list[str] | None = None) -> None:
        with PredictionsWriter(self.folder / f"{name}.zip", *maps.shape[1:]) as writer:
            for image_id, class_map in zip(ids or self.ids, maps, strict=False):
                writer.add(image_id, class_map)

    def score(self) -> dict:
        return score.score_run(
            argparse.Namespace(
                predictions=self.folder / "predictions.zip",
                run_status=self.folder / "run.json",
                model=self.folder / "model.json",
                dataset=self.folder / "dataset.json",
                index=self.folder / "index.csv",
                **{"reference": self.folder / "reference.zip", "reference_name": "paddle-fp32", **self.options},
            )
        )


@pytest.fixture
def run(tmp_path) -> Run:
    return Run(tmp_path)


def test_figures_are_scikit_learns(run):
    found = run.score()
    counted = run.labels != 255
    truth, guess = run.labels[counted], run.maps[counted]
    iou = sklearn.metrics.jaccard_score(truth, guess, average=None)
    assert found["iou_per_class"] == dict(zip(CLASSES, iou, strict=True))
    assert found["miou"] == np.mean(iou)
    assert found["pixel_accuracy"] == sklearn.metrics.accuracy_score(truth, guess)
    assert found["mean_class_accuracy"] == sklearn.metrics.balanced_accuracy_score(truth, guess)
    matrix = np.array(found["confusion_matrix"])
    assert (matrix[:4, :4] == sklearn.metrics.confusion_matrix(truth, guess)).all()
    assert matrix.sum() == run.labels.size
    assert (found["status"], found["reason"], found["image_count"], found["miou_reason"]) == ("ok", "", 3, "")


def test_counts_of_each_image_are_kept_and_add_up(run):
    found = run.score()
    keys, counts = ImageCounts.unpacked(found["image_counts"]).arrays()
    for image_id, label, class_map in zip(run.ids, run.labels, run.maps, strict=True):
        (at,) = np.flatnonzero(keys == np.uint64(key_of(image_id)))
        assert (counts[at] == iou_counts(confusion_matrix(label, class_map, 4))).all()
    assert (counts.sum(0) == iou_counts(np.array(found["confusion_matrix"]))).all()
    assert mean_iou(counts.sum(0)) == pytest.approx(found["miou"], rel=1e-15)


def test_boundary_iou_is_that_of_its_definition(run):
    found = run.score()
    pairs = list(zip(run.labels, run.maps, strict=True))
    assert found["boundary_iou"] == pytest.approx(mean_boundary_iou(pairs, len(CLASSES), 0.02), rel=1e-15)
    assert found["boundary_counts"]["images"] == len(pairs)


def test_boundaries_are_not_scored_where_they_have_no_width(run):
    with_them = run.score()
    run.options["boundary_width"] = None
    assert run.score() == with_them | {"boundary_iou": None, "boundary_counts": None}


def test_instances_are_weighed_by_the_average_size_of_their_class(run):
    without = run.score()
    assert without["iiou"] is without["iiou_per_class"] is without["instance_counts"] is None
    instances = run.add_instances()
    found, expected = run.score(), {}
    for name, train_id, average in (("car", 1, 750.5), ("person", 2, 325.25)):
        hits = weight = 0.0
        for ids, label, class_map in zip(instances, run.labels, run.maps, strict=True):
            for number in np.unique(ids[label == train_id]):
                hits += average * np.mean(class_map[ids == number] == train_id)
                weight += average
        false = np.count_nonzero((run.maps == train_id) & (run.labels != train_id) & (run.labels != 255))
        expected[name] = hits / (weight + false)
    assert found["iiou_per_class"] == pytest.approx(expected, rel=1e-12)
    assert found["iiou"] == pytest.approx(np.mean(list(expected.values())), rel=1e-12)
    weighed = ("iiou", "iiou_per_class", "instance_counts")
    assert found == without | {key: found[key] for key in weighed}


def test_changed_file_of_instances_is_told(run):
    run.add_instances()
    cv2.imwrite(str(run.folder / "image1_instances.png"), np.zeros((HEIGHT, WIDTH), np.uint16))
    with pytest.raises(InputError, match=r"image1_instances\.png"):
        run.score()


def test_ignored_pixels_are_errors_where_the_data_set_says_so(run):
    excluded = run.score()["miou"]
    run.options["ignored_pixels"] = "errors"
    found = run.score()
    assert found["miou"] < excluded
    _, counts = ImageCounts.unpacked(found["image_counts"]).arrays()
    assert mean_iou(counts.sum(0)) == pytest.approx(found["miou"], rel=1e-15)


def test_raw_ids_and_outputs_are_mapped(run):
    plain = run.score()
    for image_id, label in zip(run.ids, run.labels, strict=True):
        cv2.imwrite(str(run.folder / f"{image_id}.png"), np.where(label == 255, 0, label + 1).astype(np.uint8))
    run.describe(id_map={"0": 255, "1": 0, "2": 1, "3": 2, "4": 3})
    run.write("model", {"class_map": [255, 3, 2, 1, 0], "has_trained_weights": True})
    run.predict("predictions", 4 - run.maps)
    run.predict("reference", 4 - run.maps)
    assert run.score() == plain


def test_class_maps_that_were_brought_to_the_labels_size_are_scored_there(run):
    """The engine's own maps are of another size. They are equal, but the maps that are scored are not."""
    reference = (run.maps + (run.maps == 3)) % 4
    for name, maps in (("predictions", run.maps), ("reference", reference)):
        with PredictionsWriter(run.folder / f"{name}.zip", 2, 3) as writer:
            for image_id, class_map in zip(run.ids, maps, strict=True):
                writer.add_at_image_size(image_id, class_map, np.zeros((2, 3), np.uint8))
    found = run.score()
    expected = sklearn.metrics.accuracy_score(run.labels[run.labels != 255], run.maps[run.labels != 255])
    assert found["pixel_accuracy"] == expected
    assert found["pixel_agreement"] == (run.maps == reference).mean()
    assert found["compared_pixels"] == run.maps.size


def test_agreement_names_the_worst_images(run):
    changed = run.maps.copy()
    changed[1, 0, :6] = (changed[1, 0, :6] + 1) % 4
    changed[2, 0, :1] = (changed[2, 0, :1] + 1) % 4
    run.predict("reference", changed)
    found = run.score()
    assert found["pixel_agreement"] == 1 - 7 / (3 * HEIGHT * WIDTH)
    assert [image_id for image_id, _ in found["worst_images"]] == ["image1", "image2", "image0"]
    assert [share for _, share in found["worst_images"]] == pytest.approx([1 - 6 / 240, 1 - 1 / 240, 1])
    assert found["warnings"] == ["agrees with paddle-fp32 on only 0.9903 of pixels (bound 0.9995)"]
    assert (found["reference"], found["agreement_image_count"], found["agreement_reason"]) == ("paddle-fp32", 3, "")


def test_agreement_with_the_reference_by_class_is_scikit_learns(run):
    """Class 2 of the reference is lost; class 3, which the reference lacks, does not count as one of its classes."""
    run.predict("predictions", np.where(run.maps == 2, 1, run.maps).astype(np.uint8))
    reference = np.where(run.maps == 3, 0, run.maps).astype(np.uint8)
    run.predict("reference", reference)
    found = run.score()
    ours = np.where(run.maps == 2, 1, run.maps)
    iou = sklearn.metrics.jaccard_score(reference.ravel(), ours.ravel(), labels=[0, 1, 2], average=None)
    assert found["class_agreements"] == dict(zip(CLASSES[:3], iou, strict=True))
    assert found["class_agreement"] == np.mean(iou)
    assert "(bound 0.9); lost: person 0.0000, road " in found["warnings"][1]


def test_agreement_by_class_is_of_the_classes_that_outputs_mean(run):
    """Output 0 is no class, so its pixels miss the classes of the other side."""
    run.write("model", {"class_map": [255, 0, 1, 2], "has_trained_weights": False})
    reference, ours = np.zeros((3, 4, 4), np.uint8), np.zeros((3, 4, 4), np.uint8)
    reference[:, 0], ours[:, 0, :3] = 2, 2  # 4 pixels of class 1, of which 3 are found
    reference[:, 1], ours[:, 1:3] = 3, 3  # 4 pixels of class 2, and 4 where the reference has none
    run.predict("reference", reference)
    run.predict("predictions", ours)
    found = run.score()
    assert found["class_agreements"] == {"car": 0.75, "person": 0.5}
    assert found["warnings"][1] == (
        "agrees with paddle-fp32 by a mean class IoU of only 0.6250 (bound 0.9); lowest: person 0.5000"
    )


# Pixels per mille of each class, about as Cityscapes has them: the last eleven together are 4.8%.
CITYSCAPES_SHARES = {
    "road": 369, "building": 228, "vegetation": 159, "car": 70, "sidewalk": 61, "sky": 40, "pole": 13, "person": 12,
    "terrain": 11, "fence": 9, "wall": 7, "traffic sign": 6, "bicycle": 4, "truck": 3, "bus": 2, "train": 2,
    "traffic light": 2, "rider": 1, "motorcycle": 1,
}  # fmt: skip


def test_eleven_vanished_rare_classes_are_warned_about_by_name_above_the_bound_of_pixels(run):
    run.describe(classes=list(CITYSCAPES_SHARES), labelled=False)
    run.options |= {"agreement_bound": 0.95, "class_agreement_bound": 0.85}  # of INT8
    reference = np.repeat(np.arange(19), list(CITYSCAPES_SHARES.values())).astype(np.uint8)
    reference = np.stack([reference.reshape(10, 100)] * 3)
    run.predict("reference", reference)
    run.predict("predictions", np.where(reference >= 8, 1, reference).astype(np.uint8))  # 11 classes become building
    found = run.score()
    assert 0.95 < found["pixel_agreement"] < 0.96
    (warning,) = [text for text in found["warnings"] if "class IoU" in text]
    names = list(CITYSCAPES_SHARES)[8:]
    assert warning.endswith("lost: " + ", ".join(f"{name} 0.0000" for name in names))
    assert not [text for text in found["warnings"] if "of pixels" in text]


def test_warning_names_a_dozen_lost_classes_at_most():
    told = score_record._lowest({f"class {number}": number / 100 for number in range(20)})
    assert told.count(",") == 11 and told.endswith("class 11 0.1100 and 8 more")


def test_warning_never_reads_like_the_bound():
    assert [score_record._below(share, 0.9995) for share in (0.8123, 0.99947, 0.99949999)] == [
        "0.8123",
        "0.99947",
        "0.99949999",
    ]


def test_equal_maps_agree_without_a_warning(run):
    found = run.score()
    assert (found["pixel_agreement"], found["warnings"]) == (1, [])


def test_no_better_than_one_class_everywhere_is_a_warning(run):
    run.predict("predictions", (run.labels + 1) % 4)
    assert "preprocessing" in run.score()["warnings"][-1]
    everywhere = np.full_like(run.labels, np.bincount(run.labels[run.labels != 255]).argmax())
    run.predict("predictions", everywhere)
    assert f"({run.score()['miou']:.4f})" in run.score()["warnings"][-1]


def test_at_most_five_worst_images_are_named(tmp_path):
    run = Run(tmp_path, count=8)
    run.predict("reference", (run.maps + 1) % 4)
    assert len(run.score()["worst_images"]) == 5


def test_reference_of_the_first_images_only(run):
    run.predict("reference", run.maps[:1])
    found = run.score()
    assert (found["pixel_agreement"], found["agreement_image_count"], found["image_count"]) == (1, 1, 3)


def test_reference_of_other_images(run):
    run.predict("reference", run.maps, ["x", "y", "z"])
    found = run.score()
    assert (found["pixel_agreement"], found["agreement_reason"]) == (None, "no image in common")


def test_reference_that_could_not_run_is_the_reason(run):
    run.options["reference_status"] = run.write("reference", {"status": "failed", "reason": "out of memory"})
    found = run.score()
    assert (found["pixel_agreement"], found["agreement_reason"]) == (None, "paddle-fp32: failed: out of memory")
    assert found["miou"] is not None


def test_scores_by_logits_and_by_class_maps_are_not_compared(run):
    run.write("run", OK | {"scored_by": "class maps", "scored_by_reason": "model.onnx: no logits: it ends in Conv"})
    run.options["reference_status"] = run.write("reference", OK | {"scored_by": "logits"})
    found = run.score()
    assert (found["pixel_agreement"], found["miou"] is None) == (None, False)
    assert found["agreement_reason"] == (
        "class maps of paddle-fp32 were made by resizing logits, this row's by resizing class maps"
    )
    assert found["scored_by"] == "class maps"
    assert found["scored_by_warning"] == (
        "scored by resized class maps, which costs mIoU, and not by logits: model.onnx: no logits: it ends in Conv"
    )


@pytest.mark.parametrize(("agreement", "warned"), [(0.9994, True), (0.9995, False), (None, False)])
def test_logits_that_are_not_the_timed_engines_are_warned_about(run, agreement, warned):
    run.write("run", OK | {"scored_by": "logits", "scored_by_reason": "", "logits_agreement": agreement})
    text = "the highest logits are the timed engine's classes on only 0.9994 of pixels (bound 0.9995)"
    assert run.score()["scored_by_warning"] == (text if warned else "")


def test_no_reference_at_all(run):
    run.options["reference"] = None
    found = run.score()
    assert (found["pixel_agreement"], found["agreement_reason"], found["worst_images"]) == (None, "no reference", [])


def test_stored_reference_that_is_missing_is_named(run):
    (run.folder / "reference.zip").unlink()
    with pytest.raises(InputError, match=r"reference\.zip: no such file \(config key reference\)$"):
        run.score()


def test_reference_of_another_size_is_refused(run):
    run.predict("reference", run.maps[:, :-1])
    with pytest.raises(InputError, match="of image0 is of 11×20, the variant's of 12×20; make the reference again"):
        run.score()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda run: run.write("model", {"class_map": None, "has_trained_weights": False}), "random weights"),
        (lambda run: run.describe(labelled=False), "no labels"),
    ],
    ids=["random weights", "no labels"],
)
def test_no_miou_has_its_reason_and_agreement_stands(run, change, reason):
    change(run)
    changed = run.maps.copy()
    changed[0, 0, 0] += 1
    run.predict("reference", changed)
    found = run.score()
    assert (found["miou"], found["confusion_matrix"], found["miou_reason"]) == (None, None, reason)
    assert found["pixel_agreement"] == 1 - 1 / (3 * HEIGHT * WIDTH)


def test_run_that_is_not_ok_keeps_its_reason(run):
    run.write("run", {"status": "unsupported", "reason": "no NVIDIA driver"})
    run.predict("predictions", np.zeros((0, 0, 0), np.uint8))
    found = run.score()
    assert (found["status"], found["reason"], found["warnings"]) == ("unsupported", "no NVIDIA driver", [])
    unknown = "miou", "miou_labelled", "pixel_agreement", "class_agreement", "confusion_matrix", "iou_per_class"
    assert {found[key] for key in unknown} == {None}
    assert set(found) == set(Run(run.folder).score())


def test_predictions_of_other_images_are_refused(run):
    run.predict("predictions", run.maps[:2])
    with pytest.raises(InputError, match=r"predictions\.zip: has no class map of image2 of .*index\.csv; run again$"):
        run.score()
    run.predict("predictions", np.concatenate([run.maps, run.maps]), [*run.ids, "more", "yet", "still"])
    with pytest.raises(InputError, match=r"has 3 class map\(s\) that .*index\.csv does not name; run again$"):
        run.score()


def test_damaged_class_map_is_told(run):
    path = run.folder / "predictions.zip"
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"predictions\.zip: damaged \(Bad CRC-32"):
        run.score()


def test_number_of_threads_changes_nothing(tmp_path):
    run = Run(tmp_path, count=20)
    several = run.score()
    run.options["jobs"] = 1
    assert run.score() == several


def test_command_line_writes_the_file(run):
    files = {"predictions": "predictions.zip", "run-status": "run.json", "model": "model.json", "out": "out.json"}
    files |= {"dataset": "dataset.json", "index": "index.csv", "reference": "reference.zip"}
    options = [f"--{key}={run.folder / name}" for key, name in files.items()]
    bounds = "--agreement-bound=0.9995", "--class-agreement-bound=0.9", "--boundary-width=0.02"
    subprocess.run([sys.executable, SCRIPT, *options, "--reference-name=paddle-fp32", *bounds], check=True)
    assert read_json(run.folder / "out.json") == run.score()


def test_no_framework_is_imported():
    program = "import sys; sys.path.insert(0, sys.argv[1]); import score; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program, SCRIPT.parent], capture_output=True, text=True, check=True
    ).stdout
    assert not {"pandas", "paddle", "snakemake", "pydantic", "onnx", "scipy", "sklearn"} & set(done.split())


def score_beside_single(run: Run, maps: np.ndarray) -> dict:
    """The score of a row whose variant, one image after the other, has the class maps of `run`."""
    run.write("single_score", run.score())
    run.predict("single", run.maps)
    run.predict("predictions", maps)
    names = {"single": "single.zip", "single_status": "run.json", "single_score": "single_score.json"}
    run.options |= {key: run.folder / name for key, name in names.items()}
    return run.score()


def test_same_class_maps_have_the_same_score_and_no_label_is_read(run):
    alone = run.score()
    score_beside_single(run, run.maps)
    (run.folder / f"{run.ids[1]}.png").unlink()
    found = run.score()
    pixels = run.maps.size
    equal = {"single_agreement": 1.0, "single_agreeing_pixels": pixels, "single_pixels": pixels}
    assert found == json.loads(json.dumps(alone)) | equal


def test_other_class_maps_are_scored_and_their_agreement_with_single_images_is_known(run):
    alone = run.score()
    maps = run.maps.copy()
    maps[0, 0, :5] = (maps[0, 0, :5] + 1) % 4
    found = score_beside_single(run, maps)
    assert found["single_agreement"] == 1 - 5 / run.maps.size
    assert found["miou"] != alone["miou"] and alone["single_agreement"] is None
