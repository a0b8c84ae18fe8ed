"""A model that is given other numbers than in training: its row names the preprocessing that works."""


def test_row_near_guessing_names_the_preprocessing_that_works(workflow):
    right = workflow.config["model_catalogue"]["nearest"]
    wrong = {**right, "preprocessing": {"scale": 1, "mean": [0], "std": [1]}}
    workflow.config["model_catalogue"]["wrong"] = wrong
    workflow.config |= {"models": ["nearest", "wrong"], "variants": ["onnxruntime-fp32"], "rounds": 1}
    workflow.snakemake("results/table.csv")
    fine, row = workflow.rows()
    assert row["status"] == "ok" and float(row["miou"]) < 0.3 and float(fine["miou"]) > 0.5
    assert f"mIoU {float(fine['miou']):.2f} instead of 0.01 " in row["warnings"]  # all four images are tried
    assert "with preprocessing: {scale: 0.00392156862745098, mean: [0.5], std: [0.5]} on 4 images" in row["warnings"]
    assert "preprocessing" not in fine["warnings"]
    log = (workflow.folder / "results/logs/find_preprocessing/made/nearest.log").read_text()
    assert log == "nearest preprocessing: ok\n"  # nothing ran
    assert workflow.plan("results/table.csv") == {}
