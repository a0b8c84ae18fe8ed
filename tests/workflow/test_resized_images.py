"""Images of other sizes than the model's input, through the whole workflow."""

import shutil

from helpers.made import make_folder_dataset
from segbench.files import read_json
from segbench.scoring.predictions import Predictions

SECOND = "build_engine_with_logits"


def test_resized_images_are_scored_by_logits_of_their_own_size(workflow):
    assert SECOND not in workflow.plan()
    shutil.rmtree(workflow.folder / "street scenes")
    for number, (height, width) in enumerate([(48, 96), (40, 100)]):
        folder = make_folder_dataset(workflow.folder / f"part {number}", 2, height, width, seed=number)
        for kind in ("val", "labels"):
            target = workflow.folder / "street scenes" / kind
            target.mkdir(parents=True, exist_ok=True)
            for path in (folder / kind).iterdir():
                path.rename(target / f"{number} {path.name}")
    workflow.config["model_catalogue"]["nearest"]["preprocessing"] = {"resize": "stretch"}
    workflow.config["rounds"] = 1
    wanted = ("results/table.csv", "results/pictures/made/nearest/onnxruntime-fp32.png")
    assert workflow.plan(*wanted)[SECOND] == 2
    workflow.snakemake(*wanted)
    rows = workflow.rows()
    assert [(row["status"], row["scored_by"], row["warnings"]) for row in rows] == [("ok", "logits", "")] * 2
    assert [(row["pixel_agreement"], row["repeatable"]) for row in rows] == [("1.0", "true")] * 2
    assert float(rows[0]["miou"]) > 0.4
    maps = Predictions.open(workflow.folder / "results/predictions/made/nearest/openvino-fp32/0/predictions.zip")
    assert {maps.shape(image_id) for image_id in maps.ids} == {(48, 96), (40, 100)}
    assert (maps.height, maps.width) == (32, 64)
    assert workflow.plan(*wanted) == {}

    # A row whose second engine could not be built does not compare with the others.
    status = workflow.folder / "results/engines/made/nearest/openvino-fp32/logits/status.json"
    record = read_json(status)
    assert record["status"] == "ok"
