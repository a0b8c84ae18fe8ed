"""Comparison and gate on the small run: against a baseline's table, and variants of the run against each other."""

import csv
import json
import shutil

import pytest
from segbench.machine.cpu import package_version

WRONG_OUTPUT = (
    "return without_batch(self._request.get_output_tensor().data).copy()",
    "return 0 * without_batch(self._request.get_output_tensor().data)",
)


def set_times(path, **medians):
    """Replace the rounds' medians of a table.csv, by variant: verdicts then do not hang on this machine's mood."""
    with open(path, newline="") as stream:
        rows = list(csv.DictReader(stream))
    for row in rows:
        row["round_medians_s"] = medians.get(row["variant"].split("-")[0], "1.0;1.001;0.999")
        row["round_controls_s"] = "1.0;1.1;1.2"  # all rows are of the same blocks
    with open(path, "w", newline="") as stream:
        table = csv.DictWriter(stream, rows[0], lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


@pytest.fixture
def compared(done):
    """The finished run with a baseline that equals it."""
    table = done.folder / "results/table.csv"
    set_times(table)
    shutil.copy(table, done.folder / "base line.csv")
    done.config["baseline"] = "base line.csv"
    return done


def verdicts(flow) -> dict[str, str]:
    """Verdict by variant."""
    return {row["variant"]: row["verdict"] for row in json.loads((flow.folder / "results/comparison.json").read_text())}


def test_gate_passes_what_is_the_same_and_times_nothing_again(compared):
    assert compared.plan("gate") == {"compare": 1, "gate": 1}
    assert "gate passed: 2 rows, none WRONG; 2 of them timed, none slower by 10% or more" in compared.snakemake("gate")
    assert verdicts(compared) == {"onnxruntime-fp32": "SAME", "openvino-fp32": "SAME"}


def test_gate_fails_on_a_slower_row_and_comparison_completes(compared):
    set_times(compared.folder / "base line.csv", openvino="0.85;0.851;0.849")
    compared.snakemake("results/comparison.md")
    assert verdicts(compared) == {"onnxruntime-fp32": "SAME", "openvino-fp32": "SLOWER"}
    assert "| SLOWER" in (compared.folder / "results/comparison.md").read_text()
    printed = compared.snakemake("gate", fails=True)
    assert "SLOWER: made nearest openvino-fp32 against baseline: 1.176 of its time" in printed
    assert "made nearest onnxruntime-fp32" not in printed


def test_times_of_other_hardware_are_not_compared(compared):
    path = compared.folder / "base line.csv"
    set_times(path, openvino="0.9;0.901;0.899")
    identity = compared.rows()[0]["hardware_id"]
    path.write_text(path.read_text().replace(identity, "elsewhere"))
    printed = compared.snakemake("gate", fails=True)
    noted = f"measured on other hardware (elsewhere → {identity}): times are not compared"
    assert f"OTHER HARDWARE: made nearest openvino-fp32 against baseline: {noted}" in printed
    assert "NOTHING TIMED: no row's time was compared" in printed
    assert noted in (compared.folder / "results/comparison.md").read_text(encoding="utf-8")


def test_planted_wrong_output_is_caught(compared):
    path = compared.folder / "workflow_scripts/segbench/engines/openvino.py"
    assert WRONG_OUTPUT[0] in path.read_text()
    path.write_text(path.read_text().replace(*WRONG_OUTPUT))
    printed = compared.snakemake("gate", fails=True)
    assert verdicts(compared)["openvino-fp32"] == "WRONG"
    assert "WRONG: made nearest openvino-fp32 against baseline: mIoU" in printed


def test_baseline_of_several_runs(compared):
    """The runs differ by 1%, which the interval then has in it: it is no longer shown that nothing changed by 3%."""
    names = [f"run {number}.csv" for number in range(3)]
    for name, time in zip(names, ("0.99", "1.0", "1.01"), strict=True):
        shutil.copy(compared.folder / "base line.csv", compared.folder / name)
        set_times(compared.folder / name, onnxruntime=";".join([time] * 3), openvino="1.0;1.001;0.999")
    compared.config["baseline"] = names
    assert "2 of them timed, none slower" in compared.snakemake("gate")
    assert verdicts(compared) == {"onnxruntime-fp32": "UNCLEAR", "openvino-fp32": "SAME"}
    assert "Baselines: `run 0.csv`, `run 1.csv`" in (compared.folder / "results/comparison.md").read_text()


@pytest.fixture
def kept(done):
    """The finished run, kept as a baseline whose rows can be timed again."""
    set_times(done.folder / "results/table.csv")
    done.config |= {"baseline": "base", "comparison": {"rounds": 6, "blocks": 8, "allowed": 0.9}}
    assert "baseline written: base: 2 engines" in done.snakemake("update_baseline")
    return done


def test_kept_baseline_passes_with_an_unclear_row_timed_again(kept):
    assert kept.plan("gate") == {"compare": 1, "gate": 1}
    set_times(kept.folder / "results/table.csv", openvino="1.0;3.0;0.3")
    printed = kept.snakemake("gate")
    assert "gate passed: 2 rows, none WRONG; 2 of them timed, none slower by 90% or more; 1 timed again" in printed
    assert [path.name for path in kept.folder.glob("results/baseline_pairs/*/*/*")] == ["openvino-fp32.json"]
    record = json.loads((kept.folder / "results/baseline_pairs/made/nearest/openvino-fp32.json").read_text())
    assert (record["status"], record["together"], len(record["rounds"])) == ("ok", True, 6)
    assert (record["variant"], record["other"]) == ("the baseline's openvino-fp32", "openvino-fp32")
    assert kept.plan("gate") == {"gate": 1}


def test_kept_baseline_stops_a_slower_and_a_vanished_row(kept):
    kept.config["variants"] = ["onnxruntime-fp32"]
    kept.snakemake("results/table.csv")
    set_times(kept.folder / "results/table.csv", onnxruntime="5.0;5.01;4.99")
    path = kept.folder / "results/table.csv"
    path.write_text(path.read_text().replace(kept.rows()[0]["software_id"], "another driver"))
    printed = kept.snakemake("gate", fails=True)
    assert "SLOWER: made nearest onnxruntime-fp32 against baseline: 5.000 of its time" in printed
    assert "not timed again beside the baseline's engine: kernel, driver" in printed
    assert "GONE: made nearest openvino-fp32 against baseline: not in this run. Choose it again" in printed


def test_pair_of_this_runs_rounds(compared):
    compared.config |= {"comparison": {"pairs": [["onnxruntime-fp32", "openvino-fp32"]], "alternate": False}}
    compared.config["baseline"] = None
    set_times(compared.folder / "results/table.csv", openvino="0.5;0.5005;0.4995")
    assert "none slower by 10%" in compared.snakemake("gate")
    assert verdicts(compared) == {"openvino-fp32": "FASTER"}


def test_pair_is_timed_alternating(done):
    done.config["comparison"] = {"pairs": [["onnxruntime-fp32", "openvino-fp32"]], "rounds": 2, "blocks": 1}
    assert done.plan("results/comparison.md") == {"time_pair": 1, "compare": 1}
    done.snakemake("results/comparison.md")
    record = json.loads((done.folder / "results/pairs/made/nearest/onnxruntime-fp32--openvino-fp32.json").read_text())
    assert (record["status"], record["together"], len(record["rounds"])) == ("ok", False, 2)
    assert record["ratio_low"] < record["ratio"] < record["ratio_high"]
    done.config["comparison"]["margin"] = 0.5
    assert done.plan("results/comparison.md") == {"compare": 1}


def test_variants_of_one_engine_are_timed_in_one_process(done):
    done.config["variant_catalogue"] = {"again": {"engine": "openvino", "precision": "fp32"}}
    done.config["comparison"] = {"rounds": 2, "blocks": 2}
    target = "results/pairs/made/nearest/openvino-fp32--again.json"
    done.snakemake(target)
    record = json.loads((done.folder / target).read_text())
    assert (record["status"], record["together"], record["warnings"]) == ("ok", True, [])


def test_nothing_to_compare_completes_but_is_no_passed_gate(done):
    done.snakemake("results/comparison.md")
    assert "Nothing to compare" in (done.folder / "results/comparison.md").read_text()
    assert "nothing was compared: set baseline" in done.snakemake("gate", fails=True)


def test_missing_baseline_is_told(done):
    done.config["baseline"] = "nowhere.csv"
    assert "nowhere.csv: no such file; a table.csv of an earlier run is wanted" in done.snakemake("gate", fails=True)


def test_pair_of_a_variant_that_was_not_chosen_is_told(done):
    done.config["comparison"] = {"pairs": [["onnxruntime-fp32", "paddle-fp32"]]}
    told = "overlay.yaml: comparison.pairs[0][1]: 'paddle-fp32' is not among the chosen variants"
    assert told in done.snakemake("--dry-run", fails=True)


def test_loadgen_and_our_clock_time_the_same_runs(done):
    done.config |= {"comparison": {"loadgen_queries": 10}, "sweep": {"batch": [3], "streams": [2]}, "threads": 2}
    ways = {"": ("SingleStream", "s", 10), "-b3": ("MultiStream", "s", 30), "-s2": ("Offline", "images_per_s", 10)}
    targets = [f"results/loadgen/made/nearest/onnxruntime-fp32{end}.json" for end in ways]
    done.snakemake(*targets)
    for target, way in zip(targets, ways.values(), strict=True):
        record = json.loads((done.folder / target).read_text())
        if package_version("mlcommons-loadgen"):
            assert (record["status"], len(record["ours"]), len(record["loadgen"])) == ("ok", 4, 4)
            assert (record["scenario"], record["unit"], record["images"]) == way
            # LoadGen's latency contains ours of the same run; of streams its time ends before their threads do.
            assert record["ratio_of_same_runs"] >= (1 if record["unit"] == "s" else 0)
        else:
            reason = "package mlcommons-loadgen is not installed (make env-loadgen)"
            assert (record["status"], record["reason"]) == ("unsupported", reason)
