"""A model that is given other numbers than in training: its row names the preprocessing that works."""


def test_row_near_guessing_names_the_preprocessing_that_works(done):
    right = done.config["model_catalogue"]["nearest"]
    wrong = {**right, "preprocessing": {"scale": 1, "mean": [0], "std": [1]}}
    done.config["model_catalogue"]["wrong"] = wrong
    done.config |= {"models": ["nearest", "wrong"], "variants": ["onnxruntime-fp32"], "rounds": 1}
    done.snakemake("results/table.csv")
    fine, row = done.rows()
    assert row["status"] == "ok" and float(row["miou"]) < 0.3 and float(fine["miou"]) > 0.5
    assert f"mIoU {float(fine['miou']):.2f} instead of 0.01 " in row["warnings"]  # all four images are tried
    assert "with preprocessing: {scale: 0.00392156862745098, mean: [0.5], std: [0.5]} on 4 images" in row["warnings"]
    assert "preprocessing" not in fine["warnings"]
    log = (done.folder / "results/logs/find_preprocessing/made/nearest.log").read_text()
    assert log == "nearest preprocessing: ok\n"  # nothing ran
    assert done.plan("results/table.csv") == {}
