"""Rows from the files of the chain: rounds that computed something else, other hardware, what is not known."""

import numpy as np
import pytest
from segbench.files import read_json, write_json
from segbench.scoring.boundary import boundary_counts
from segbench.scoring.confusion import confusion_matrix, iou_counts
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.instances import instance_counts
from segbench.scoring.predictions import PredictionsWriter, key_of
from segbench.scoring.score_record import NO_FIGURES, Judgement, Sums, figures
from segbench.table.rows import read_rows
from segbench.timing.latencies import LatencyLine, write_latencies

SELECTION = {
    "dataset": "made",
    "rounds": 2,
    "shards": 1,
    "models": {"small": "Small"},
    "variants": {name: {"engine": "onnxruntime", "precision": "fp32"} for name in ("a", "b")},
}

AT_INPUT_SIZE = {"scored_by": "", "scored_by_warning": ""}  # of a score.json: no image was resized


def write_round(folder, times, class_maps, hardware="here", steady=True):
    """The files of one round: latencies in seconds, class maps by image."""
    folder.mkdir(parents=True, exist_ok=True)
    timed = zip(class_maps, times, strict=True)
    write_latencies(folder / "latencies.csv", [LatencyLine(name, time, time) for name, time in timed])
    write_class_maps(folder, class_maps, hardware, steady, keep_maps=False)


def write_class_maps(folder, class_maps, hardware="here", steady=True, keep_maps=True):
    """The files that a pass and a round both have."""
    folder.mkdir(parents=True, exist_ok=True)
    with PredictionsWriter(folder / "predictions.zip", 2, 3, keep_maps=keep_maps) as predictions:
        for name, value in class_maps.items():
            predictions.add(name, np.full((2, 3), value, np.uint8))
    write_json(folder / "status.json", {"status": "ok", "reason": "", "steady": steady})
    write_json(folder / "environment.json", {"hardware_id": hardware})


@pytest.fixture
def results(tmp_path):
    """Two variants with two rounds each."""
    for variant in ("a", "b"):
        here = f"made/small/{variant}"
        write_json(tmp_path / "engines" / here / "status.json", {"status": "ok"})
        score = {"status": "ok", "reference": "a", "miou": 0.5, "pixel_agreement": 1.0}
        write_json(tmp_path / "scores" / f"{here}.json", NO_FIGURES | score | AT_INPUT_SIZE)
        for number, times in ((1, [1.0, 2.0, 4.0]), (2, [3.0, 3.5, 9.0])):
            write_round(tmp_path / "runs" / here / f"{number}/0", times, {"x": 1, "y": 2, "z": 3})
        write_class_maps(tmp_path / "predictions" / here / "0", {"x": 1, "y": 2, "z": 3, "not timed": 4})
    return tmp_path


def write_score(results, variant, label, class_maps):
    """The score of class maps of 4 classes, one for each image, against one label."""
    counts, matrices = ImageCounts(), [confusion_matrix(label, one, 4) for one in class_maps]
    for number, matrix in enumerate(matrices):
        counts.add(key_of(f"image{number}"), iou_counts(matrix))
    boundaries = ImageCounts()
    for number, one in enumerate(class_maps):
        near = boundary_counts(label, one, share=0.02, class_count=4, ignore=255)
        boundaries.add(key_of(f"image{number}"), near)
    sums = Sums(sum(matrices), counts, len(matrices), None, 0, 0, 0, [], boundaries)
    for number, (one, matrix) in enumerate(zip(class_maps, matrices, strict=True)):
        ids = np.where(label > 0, 1000 * label + np.arange(label.shape[1]), 0)  # of b and c, each column is an instance
        kinds = {1: (1, 9.5), 2: (2, 4.0)}
        weighed = instance_counts(ids, one, iou_counts(matrix), kinds=kinds, class_count=4)
        sums.instance_counts.add(key_of(f"image{number}"), weighed)
    found = figures(sums, ["a", "b", "c", "d"], Judgement("excluded", 0, 0, "a"))
    record = {"status": "ok", "reference": "a", "miou_reason": "", "agreement_reason": "", **AT_INPUT_SIZE}
    write_json(results / f"scores/made/small/{variant}.json", found | record)


def test_intervals_of_miou_and_of_its_change_surround_them(results):
    random = np.random.default_rng(0)
    label = random.integers(0, 3, (20, 30)).astype(np.uint8)
    sure = random.random((12, 20, 30))
    for variant, wrong in (("a", 0.2), ("b", 0.21)):
        maps = np.where(sure < wrong * np.linspace(0.5, 1.5, 12)[:, None, None], 0, label)
        maps[0, 0, 0] = 3 if variant == "b" else maps[0, 0, 0]
        write_score(results, variant, label, maps.astype(np.uint8))
    a, b = read_rows(results, SELECTION)
    assert (a["miou_delta"], a["miou_delta_low"], a["miou_delta_high"]) == (0, 0, 0)
    assert b["miou"] < b["miou_labelled"] and (a["classes_counted"], b["classes_counted"]) == (3, 4)
    assert b["miou_delta"] == b["miou_labelled"] - a["miou_labelled"]
    for row in (a, b):
        assert row["miou_low"] < row["miou"] < row["miou_high"]
    assert b["miou_delta_low"] < b["miou_delta"] < b["miou_delta_high"] < 0
    assert b["miou_delta_high"] - b["miou_delta_low"] < (a["miou_high"] - a["miou_low"]) / 5
    assert (a["boundary_iou_delta"], a["boundary_iou_delta_low"], a["boundary_iou_delta_high"]) == (0, 0, 0)
    assert b["boundary_iou_delta_low"] < b["boundary_iou_delta"] < b["boundary_iou_delta_high"] < 0
    labelled = b["boundary_iou"] * b["classes_counted"] / a["classes_counted"]  # class d has an IoU of 0
    assert b["boundary_iou_delta"] == pytest.approx(labelled - a["boundary_iou"])
    assert (a["iiou_delta"], a["iiou_delta_low"], a["iiou_delta_high"]) == (0, 0, 0)
    assert b["iiou_delta_low"] < b["iiou_delta"] < b["iiou_delta_high"] < 0
    assert b["iiou_delta"] == pytest.approx(b["iiou"] - a["iiou"])  # both classes of both rows are labelled
    assert read_rows(results, SELECTION) == [a, b]


def test_rows_without_instances_have_no_iiou(results):
    cells = [row[name] for row in read_rows(results, SELECTION) for name in row if name.startswith("iiou")]
    assert cells == [None] * 8


def test_scores_of_other_images_have_no_paired_interval(results):
    label = np.random.default_rng(0).integers(0, 3, (20, 30)).astype(np.uint8)
    write_score(results, "a", label, [label] * 12)
    write_score(results, "b", label, [label] * 11)
    b = read_rows(results, SELECTION)[1]
    assert b["miou_low"] is not None and b["miou_delta_low"] is b["miou_delta_high"] is None
    assert b["boundary_iou"] == 1 and b["boundary_iou_delta"] is b["boundary_iou_delta_low"] is None


def test_rounds_that_compute_the_same_are_repeatable(results):
    rows = read_rows(results, SELECTION)
    assert [(row["repeatable"], row["warnings"]) for row in rows] == [(True, "")] * 2


def test_planted_wrong_class_map_in_round_2_is_told(results):
    write_round(results / "runs/made/small/b/2/0", [3.0, 3.5, 9.0], {"x": 1, "y": 7, "z": 3})
    a, b = read_rows(results, SELECTION)
    assert (a["repeatable"], b["repeatable"]) == (True, False)
    assert b["warnings"] == "round 2: 1 class map(s) differ from the accuracy pass's, e.g. of y"


def test_class_map_that_changes_within_a_round_is_told(results):
    path = results / "runs/made/small/b/2/0/status.json"
    write_json(path, {"status": "ok", "reason": "", "steady": True, "changed": ["z"]})
    assert read_rows(results, SELECTION)[1]["warnings"].endswith("e.g. of z")


def test_accuracy_by_logits_is_not_compared_with_accuracy_by_class_maps(results):
    label = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
    for variant in ("a", "b"):
        write_score(results, variant, label, [label] * 8)
    assert [row["miou_delta"] for row in read_rows(results, SELECTION)] == [0, 0]
    path = results / "scores/made/small/b.json"
    write_json(path, read_json(path) | {"scored_by": "logits"})
    first, second = read_rows(results, SELECTION)
    assert (first["miou_delta"], second["miou_delta"], second["miou_delta_low"]) == (0, None, None)
    assert (first["scored_by"], second["scored_by"]) == ("", "logits")


def test_a_doubt_of_how_a_row_was_scored_is_a_warning(results):
    path = results / "scores/made/small/b.json"
    write_json(path, read_json(path) | {"scored_by": "class maps", "scored_by_warning": "scored by class maps"})
    assert read_rows(results, SELECTION)[1]["warnings"] == "scored by class maps"


def test_rounds_beyond_the_planned_ones_count(results):
    write_round(results / "runs/made/small/a/3/0", [7.0, 7.0, 7.0], {"x": 1, "y": 2, "z": 3})
    a, b = read_rows(results, {**SELECTION, "extra": {"small/a": 1}})
    assert (a["rounds"], a["round_medians_s"], b["rounds"]) == (3, "2.0;3.5;7.0", 2)


def test_disturbed_round_is_named_with_its_share_and_the_bound(results):
    path = results / "runs/made/small/b/2/0/status.json"
    facts = {"contended": True, "contention_share": 0.05, "disturbances": [{"other_share": 0.12}], "repeats": 0}
    write_json(path, {"status": "ok", "reason": "", "steady": True, **facts})
    a, b = read_rows(results, SELECTION)
    assert (a["contended"], a["flags"]) == (None, "")  # its rounds could not tell
    assert b["contended"] and b["flags"].startswith("round 2 is contended: other processes used 12% of a CPU (allowed")


def test_medians_of_rounds_are_kept(results):
    row = read_rows(results, SELECTION)[0]
    assert row["round_medians_s"] == "2.0;3.5"
    assert row["time_s"] == 2.75


def test_cold_start_is_the_median_over_rounds_and_empty_where_a_round_lacks_it(results):
    for number, opened in ((1, 0.2), (2, 0.4)):
        path = results / f"runs/made/small/a/{number}/0/status.json"
        write_json(path, {**read_json(path), "open_s": opened, "first_mask_s": opened + 0.1})
    a, b = read_rows(results, SELECTION)
    assert (a["open_s"], a["first_mask_s"]) == (pytest.approx(0.3), pytest.approx(0.4))
    assert (a["first_mask_s_low"], b["open_s"], b["first_mask_s"]) == (None, None, None)  # two rounds: no interval


def test_rounds_on_other_hardware_are_not_pooled_silently(results):
    write_round(results / "runs/made/small/a/2/0", [3.0, 3.5, 9.0], {"x": 1, "y": 2, "z": 3}, hardware="there")
    a, b = read_rows(results, SELECTION)
    assert a["warnings"] == "rounds ran on different hardware (here, there)"
    assert b["warnings"] == "measured on other hardware (here) than the table's first row (here;there)"


def test_row_from_other_hardware_than_the_first_says_so(results):
    for number in (1, 2):
        folder = results / f"runs/made/small/b/{number}/0"
        write_round(folder, [3.0, 3.5, 9.0], {"x": 1, "y": 2, "z": 3}, hardware="there")
    a, b = read_rows(results, SELECTION)
    assert a["warnings"] == ""
    assert b["warnings"] == "measured on other hardware (there) than the table's first row (here)"


@pytest.mark.parametrize(("rounds", "expected"), [((True, True), True), ((True, False), False), ((True, None), None)])
def test_steady_is_empty_where_nothing_was_warmed_up(results, rounds, expected):
    for number, steady in enumerate(rounds, 1):
        folder = results / f"runs/made/small/a/{number}/0"
        write_round(folder, [1.0, 2.0, 4.0], {"x": 1, "y": 2, "z": 3}, steady=steady)
    assert read_rows(results, SELECTION)[0]["steady"] is expected


def test_engine_that_computes_with_fewer_threads_than_asked_says_so(results):
    facts = {"steady": True, "contended": False, "repeats": 0, "busy_threads": 1}
    for number, wall_s in ((1, 0.6), (2, 0.1)):
        folder = results / f"runs/made/small/a/{number}/0"
        write_json(folder / "environment.json", {"hardware_id": "here", "threads": 2})
        write_json(
            folder / "status.json", {"status": "ok", "reason": "", "disturbances": [{"wall_s": wall_s}], **facts}
        )
    row = read_rows(results, SELECTION)[0]
    assert (row["threads"], row["warnings"]) == (2, "the engine computed with 1 thread(s) where 2 were asked")


def test_row_that_lost_more_than_its_calibration_accepted_says_so(results):
    label = np.arange(24, dtype=np.uint8).reshape(4, 6) % 4
    wrong = label.copy()
    wrong[0, 0] = 1  # of a class of six pixels
    write_score(results, "a", label, [label] * 8)
    write_score(results, "b", label, [wrong] * 8)

    def warnings(bound):
        write_json(results / "engines/made/small/b/status.json", {"status": "ok", "max_drop": bound})
        _, b = read_rows(results, SELECTION)
        assert b["miou_delta"] == pytest.approx((5 / 6 + 6 / 7 + 2) / 4 - 1)
        return b["warnings"]

    assert warnings(0.05) == (
        "lost 0.0774 mIoU against a, where INT8 was chosen to lose at most 0.05 (calibration.max_drop)"
    )
    assert warnings(0.1) == warnings(None) == ""


def test_row_below_its_bound_names_the_command_that_finds_the_layer(results):
    path = results / "scores/made/small/b.json"
    write_json(path, read_json(path) | {"agrees": False, "warnings": ["agrees with a on only 0.9 of pixels"]})
    assert [row["warnings"] for row in read_rows(results, SELECTION)] == [
        "",
        "agrees with a on only 0.9 of pixels: snakemake results/diverge/made/small/b.md says at which layer",
    ]


def test_warning_of_a_batch_names_the_search_of_the_row_of_single_images(results):
    path = results / "scores/made/small/b.json"
    write_json(path, read_json(path) | {"agrees": False, "warnings": ["agrees with a on only 0.9 of pixels"]})
    entries = {"a": SELECTION["variants"]["b"], "b": {**SELECTION["variants"]["b"], "batch": 2}}
    _, b = read_rows(results, {**SELECTION, "variants": entries})
    assert "snakemake results/diverge/made/small/a.md says" in b["warnings"]


def test_warnings_of_the_calibration_reach_the_row(results):
    write_json(results / "engines/made/small/b/status.json", {"status": "ok", "calibration_warnings": ["one", "two"]})
    a, b = read_rows(results, SELECTION)
    assert (a["warnings"], b["warnings"]) == ("", "one; two")
