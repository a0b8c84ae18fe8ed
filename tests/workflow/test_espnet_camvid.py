"""A real trained network on real street scenes, through the committed configuration, where both are at hand."""

import os
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Workflow, copy_workflow

REAL = Path(os.environ.get("SEGBENCH_REAL_DATA", ROOT.parent / "shared"))
DATA, MODELS = REAL / "data" / "camvid", REAL / "models" / "espnet_camvid"


needs_data = pytest.mark.skipif(
    not (DATA.is_dir() and MODELS.is_dir()), reason="needs CamVid and ESPNet (SEGBENCH_REAL_DATA)"
)


def espnet(folder: Path) -> Workflow:
    flow = Workflow(copy_workflow(folder))
    flow.config = yaml.safe_load((flow.folder / "config/espnet_camvid.yaml").read_text())
    flow.config |= {"dataset_root": str(DATA.resolve()), "model_root": str(MODELS.resolve())}
    return flow


@needs_data
def test_miou_is_the_networks_own_and_another_engine_agrees(tmp_path):
    flow = espnet(tmp_path / "work flow")
    flow.config |= {"variants": ["openvino-fp32"], "reference": "onnxruntime-fp32", "agreement_images": 20}
    flow.config |= {"rounds": 1, "timing": {"images_per_round": 2, "round_min_s": 0, "extra_s": 0}}
    picture = "results/pictures/camvid/espnet_camvid/openvino-fp32.png"
    flow.snakemake("results/table.csv", picture)
    (row,) = flow.rows()
    assert (row["status"], f"{float(row['miou']):.4f}") == ("ok", "0.7010")
    assert float(row["pixel_agreement"]) >= 0.9999
    assert (flow.folder / picture).stat().st_size > 10_000
