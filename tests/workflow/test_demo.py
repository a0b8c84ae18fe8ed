"""The default made small, as `make quick` runs it: scenes are drawn, networks built, timed, scored, shown."""

import cv2
import pytest
import yaml
from conftest import Workflow, copy_workflow


@pytest.mark.slow
def test_quick_demo_fills_its_table(tmp_path):
    flow = Workflow(copy_workflow(tmp_path / "work flow"))
    flow.config = yaml.safe_load((flow.folder / "config/quick.yaml").read_text())
    printed = flow.snakemake()
    rows = flow.rows()
    assert [row["status"] for row in rows] == ["ok"] * 6, [row["reason"] for row in rows]
    assert all(float(row["pixel_agreement"]) >= 0.9995 for row in rows)
    assert all(int(row["rounds"]) >= 3 and int(row["n"]) >= 8 * int(row["rounds"]) for row in rows)
    assert "pspnet_demo openvino-fp32 round 2: timing" in printed
    assert "| PSPNet (narrow) | openvino" in printed  # the table is shown at the end
    for model in flow.config["models"]:
        picture = cv2.imread(str(flow.folder / f"results/pictures/demo_quick/{model}/paddle-fp32.png"))
        assert picture.shape == (4 * (256 + 4), 4 * (512 + 4), 3)
    assert flow.plan() == {}
