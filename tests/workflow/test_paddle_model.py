"""One of the eight architectures, random weights, through the whole chain on the four CPU engines."""

import subprocess
import sys

from helpers.paddle_made import save_network

SMALL = {
    "kind": "narrow",
    "architecture": "gcnet",
    "weights": "random",
    "input": {"height": 32, "width": 64},
    "class_count": 4,
}


def test_four_engines_agree_and_the_miou_cell_is_empty(workflow):
    workflow.config |= {
        "models": ["small"],
        "variants": ["paddle-fp32", "paddle_onednn-fp32", "onnxruntime-fp32", "openvino-fp32"],
        "rounds": 1,
    }
    workflow.config["model_catalogue"] = {"small": SMALL}
    workflow.snakemake()
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok"] * 4, [row["reason"] for row in rows]
    assert {row["reference"] for row in rows} == {"paddle-fp32"}
    assert all(float(row["pixel_agreement"]) >= 0.9995 for row in rows)
    assert {row["miou"] for row in rows} == {row["miou_delta"] for row in rows} == {""}
    assert [row["accelerated"] for row in rows] == ["false", "true", "true", "true"]
    assert all(float(row["build_s"]) > 0 and int(row["engine_bytes"]) > 0 for row in rows)


def test_model_without_an_onnx_twin_says_why(workflow):
    """A converter that gives up costs the rows that build from the twin, with its reason, and no other."""
    path = workflow.folder / "workflow_scripts/segbench/models/onnx_twin.py"
    source = path.read_text()
    signature = "def make_twin(pdmodel: Path, pdiparams: Path) -> Any:\n"
    assert signature in source
    path.write_text(source.replace(signature, signature + '    raise Unsupported("paddle2onnx has no form for x")\n'))
    workflow.config |= {"models": ["small"], "variants": ["openvino-fp32", "onnxruntime-fp32"], "rounds": 1}
    workflow.config["reference"] = "openvino-fp32"
    workflow.config["model_catalogue"] = {"small": SMALL}
    workflow.snakemake()
    good, without = workflow.rows()
    assert good["status"] == "ok"
    assert (without["status"], without["reason"]) == (
        "unsupported",
        "no ONNX twin: paddle2onnx has no form for x",
    )
    subprocess.run([sys.executable, "workflow_scripts/retry.py"], cwd=workflow.folder, check=True)
    assert workflow.plan()["export_onnx"] == 1


def test_own_paddle_inference_model_is_run_and_new_parameters_are_noticed(workflow):
    net = save_network(workflow.folder / "net", lambda logits: logits)
    workflow.config |= {"models": ["own"], "variants": ["paddle-fp32", "openvino-fp32"], "rounds": 1}
    own = {"kind": "paddle_inference", "weights": {"path": "net.pdmodel"}, "input": {"height": 32, "width": 64}}
    workflow.config["model_catalogue"] = {"own": {**own, "class_count": 4}}
    workflow.snakemake()
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok", "ok"], rows
    assert float(rows[0]["miou"]) >= 0 and float(rows[1]["pixel_agreement"]) >= 0.9995
    assert workflow.plan() == {}
    parameters = net.with_suffix(".pdiparams")
    data = bytearray(parameters.read_bytes())
    data[-1] ^= 1
    parameters.write_bytes(data)
    assert workflow.plan()["fetch_checkpoint"] == 1
