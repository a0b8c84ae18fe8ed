"""One of the eight architectures, random weights, through the whole chain on the four CPU engines."""


def test_four_engines_agree_and_the_miou_cell_is_empty(workflow):
    workflow.config |= {
        "models": ["small"],
        "variants": ["paddle-fp32", "paddle_onednn-fp32", "onnxruntime-fp32", "openvino-fp32"],
        "rounds": 1,
    }
    workflow.config["model_catalogue"] = {
        "small": {
            "kind": "narrow",
            "architecture": "gcnet",
            "weights": "random",
            "input": {"height": 32, "width": 64},
            "class_count": 4,
        }
    }
    workflow.snakemake()
    rows = workflow.rows()
    assert [row["status"] for row in rows] == ["ok"] * 4, [row["reason"] for row in rows]
    assert {row["reference"] for row in rows} == {"paddle-fp32"}
    assert all(float(row["pixel_agreement"]) >= 0.9995 for row in rows)
    assert {row["miou"] for row in rows} == {row["miou_delta"] for row in rows} == {""}
    assert [row["accelerated"] for row in rows] == ["false", "true", "true", "true"]
    assert all(float(row["build_s"]) > 0 and int(row["engine_bytes"]) > 0 for row in rows)
