"""Images kept decoded change no class map and rerun no job of an engine."""

from segbench.scoring.predictions import Predictions

DECODED = "results/data/made/val/decoded.bin"
PASS = "results/predictions/made/nearest/openvino-fp32/0/predictions.zip"


def test_switch_reruns_no_pass_and_no_round_and_changes_no_class_map(done):
    kept = done.folder / DECODED
    assert kept.stat().st_size == 4 * 32 * 64 * 3
    before = Predictions.open(done.folder / PASS)
    done.config["decoded_images"] = False
    assert done.plan() == {"decode_images": 1}
    done.snakemake("--force", PASS)
    assert kept.stat().st_size == 0
    after = Predictions.open(done.folder / PASS)
    assert [after.digest(i) for i in after.ids] == [before.digest(i) for i in before.ids]


def test_deleted_pixels_rerun_nothing_until_they_are_needed(done):
    (done.folder / DECODED).unlink()
    assert done.plan() == {}
    assert done.plan("--force", PASS) == {"decode_images": 1, "infer": 1}
