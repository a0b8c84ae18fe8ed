"""The ONNX twin computes what the Paddle model computes, or says why there is none."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import export_paddle
import numpy as np
import onnx
import paddle
import pytest
from helpers.paddle_made import agreement, run_onnxruntime, run_openvino, run_paddle, save_network, street_images
from onnx import TensorProto, helper, numpy_helper
from segbench.errors import Failed, Unsupported
from segbench.files import read_json, write_record
from segbench.models import onnx_twin

HEIGHT, WIDTH = 64, 96
PREPROCESSING = {"mean": [0.5] * 3, "std": [0.5] * 3, "scale": 1 / 255, "channel_order": "rgb", "resize": "none"}
SCRIPT = Path(__file__).parents[2] / "workflow_scripts" / "export_onnx.py"
F = paddle.nn.functional


def class_map(logits: Any) -> Any:
    return logits.argmax(1, dtype="int32").cast("uint8")


def pooled(bins: Any) -> Any:
    """Scores that depend on what adaptive pooling makes of the bins' borders."""
    return lambda logits: class_map(logits + 9 * F.interpolate(F.adaptive_avg_pool2d(logits, bins), (HEIGHT, WIDTH)))


def operators(model: Any) -> list[str]:
    return [node.op_type for node in model.graph.node]


def twin_of(folder: Path, then: Any) -> tuple[Path, Path]:
    net = save_network(folder / "net", then, size=(HEIGHT, WIDTH))
    twin = folder / "model.onnx"
    onnx.save(onnx_twin.make_twin(net, net.with_suffix(".pdiparams")), str(twin))
    return net, twin


@pytest.mark.parametrize(("size", "bins"), [(7, 3), (10, 4), (128, 6), (33, 8), (5, 5), (6, 3), (3, 5)])
def test_bin_matrix_is_paddles_adaptive_pooling(size: int, bins: int) -> None:
    values = np.random.default_rng(0).normal(size=(1, 2, size, size)).astype(np.float32)
    wanted = F.adaptive_avg_pool2d(paddle.to_tensor(values), bins).numpy()
    matrix = onnx_twin.bin_matrix(size, bins)
    np.testing.assert_allclose(matrix @ values @ matrix.T, wanted, atol=1e-6)


def test_uneven_bins_are_exact(tmp_path: Path) -> None:
    net, twin = twin_of(tmp_path, pooled((3, 5)))
    images = street_images(HEIGHT, WIDTH)
    assert "AveragePool" not in operators(onnx.load(str(twin)))
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995
    assert agreement(run_openvino(twin, images), run_paddle(net, images)) >= 0.9995


def test_even_bins_stay_average_pooling(tmp_path: Path) -> None:
    net, twin = twin_of(tmp_path, pooled((8, 6)))
    images = street_images(HEIGHT, WIDTH)
    assert operators(onnx.load(str(twin))).count("AveragePool") == 1
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995


def test_twin_of_a_model_of_pooling_and_attention_agrees(tmp_path: Path) -> None:
    """The other architectures are in test_export.py, in full size."""
    entry = {
        "kind": "narrow",
        "architecture": "ann",
        "weights": "random",
        "input": {"height": HEIGHT, "width": WIDTH},
        "class_count": 19,
        "class_map": None,
    }
    pdmodel = tmp_path / "model.pdmodel"
    export_paddle.export("mine", entry, None, pdmodel, pdmodel.with_suffix(".pdiparams"))
    twin = tmp_path / "model.onnx"
    onnx.save(onnx_twin.make_twin(pdmodel, pdmodel.with_suffix(".pdiparams")), str(twin))
    images = street_images(HEIGHT, WIDTH)
    assert agreement(run_onnxruntime(twin, images), run_paddle(pdmodel, images)) >= 0.9995
    assert agreement(run_openvino(pdmodel, images), run_paddle(pdmodel, images)) >= 0.9995


def test_twin_is_static_and_plain(tmp_path: Path) -> None:
    def upsampled(logits: Any) -> Any:
        return class_map(F.interpolate(F.avg_pool2d(logits, 2), paddle.shape(logits)[2:], mode="bilinear"))

    _, twin = twin_of(tmp_path, upsampled)
    model = onnx.load(str(twin))
    assert not {"Shape", "Slice", "Constant"} & set(operators(model))
    assert [value.name for value in model.graph.output] == [onnx_twin.CLASS_MAP]
    result = model.graph.output[0].type.tensor_type
    assert result.elem_type == TensorProto.UINT8
    assert [dim.dim_value for dim in result.shape.dim] == [1, HEIGHT, WIDTH]
    assert [entry.version for entry in model.opset_import] == [onnx_twin.OPSET]
    known = {value.name for value in (*model.graph.value_info, *model.graph.output)}
    assert all(set(node.output) <= known for node in model.graph.node)  # every shape is inferred


def test_operator_without_onnx_form_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as caught:
        twin_of(tmp_path, lambda logits: class_map(paddle.lgamma(logits)))
    assert str(caught.value) == "paddle2onnx has no ONNX form for lgamma"


def test_adaptive_max_pooling_is_exact(tmp_path: Path) -> None:
    """Uneven bins, more bins than elements, and bins of one element; twice, since the second's size follows."""

    def then(logits: Any) -> Any:
        found = logits
        for bins in (5, (7, 100), (64, 96)):
            maxima = F.adaptive_max_pool2d(F.adaptive_max_pool2d(logits, bins), 3)
            found = found + 9 * F.interpolate(maxima, (HEIGHT, WIDTH))
        return class_map(found)

    net, twin = twin_of(tmp_path, then)
    images = street_images(HEIGHT, WIDTH)
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995
    assert agreement(run_openvino(twin, images), run_paddle(net, images)) >= 0.9995


def test_padding_to_the_same_size_ignores_dilation_as_paddle_does(tmp_path: Path) -> None:
    def then(logits: Any) -> Any:
        weight = paddle.arange(4 * 4 * 9, dtype="float32").reshape([4, 4, 3, 3]).sin()
        once, twice = (F.conv2d(logits, weight, padding="SAME", dilation=2, stride=stride) for stride in (1, 2))
        return class_map(once + F.interpolate(twice, (HEIGHT, WIDTH)))

    net, twin = twin_of(tmp_path, then)
    images = street_images(HEIGHT, WIDTH)
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995
    assert agreement(run_openvino(twin, images), run_paddle(net, images)) >= 0.9995


def test_unpooling_is_exact(tmp_path: Path) -> None:
    """As ENet and SegNet: twice, the values changed in between, and to a size that no multiple of the stride is."""

    def then(logits: Any) -> Any:
        once, first = F.max_pool2d(logits, 3, 3, return_mask=True)
        twice, second = F.max_pool2d(once, 2, 2, padding=1, return_mask=True)
        put = F.max_unpool2d(F.relu(twice) + 1, second, 2, 2, padding=1, output_size=once.shape)
        return class_map(logits + 5 * F.max_unpool2d(put * put, first, 3, 3, output_size=logits.shape))

    net, twin = twin_of(tmp_path, then)
    images = street_images(HEIGHT, WIDTH)
    assert len(np.unique(run_paddle(net, images))) > 1
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995
    assert agreement(run_openvino(twin, images), run_paddle(net, images)) >= 0.9995


def test_unpooling_of_overlapping_windows_is_refused(tmp_path: Path) -> None:
    """Two values may want one place there; Paddle takes the last, and ONNX leaves it open."""

    def then(logits: Any) -> Any:
        pooled, indices = F.max_pool2d(logits, 3, 2, padding=1, return_mask=True)
        return class_map(F.max_unpool2d(pooled, indices, 3, 2, padding=1, output_size=logits.shape))

    with pytest.raises(Unsupported, match=r"unpooling with the indices of windows that overlap \(max_pool"):
        twin_of(tmp_path, then)


def test_transposed_convolution_has_the_wanted_size(tmp_path: Path) -> None:
    """As ENet: its last row and column are not those that follow from kernel, stride and padding. Twice, once by
    channel.
    """

    def then(logits: Any) -> Any:
        weight = paddle.arange(4 * 4 * 9, dtype="float32").reshape([4, 4, 3, 3]).sin()
        facts = {"stride": 2, "padding": 1, "output_size": [HEIGHT, WIDTH]}
        whole = F.conv2d_transpose(F.avg_pool2d(logits, 2), weight, **facts)
        return class_map(whole + F.conv2d_transpose(F.avg_pool2d(whole, 2), weight[:, :1], groups=4, **facts))

    net, twin = twin_of(tmp_path, then)
    images = street_images(HEIGHT, WIDTH)
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995
    assert agreement(run_openvino(twin, images), run_paddle(net, images)) >= 0.9995


def test_padding_of_channels_that_come_last_is_exact(tmp_path: Path) -> None:
    """As HRFormer's, of its windows."""

    def then(logits: Any) -> Any:
        last, found = logits.transpose([0, 2, 3, 1]), logits
        for mode in ("constant", "reflect", "replicate"):
            padded = F.pad(last, [1, 2, 3, 4], mode=mode, value=9.0, data_format="NHWC").transpose([0, 3, 1, 2])
            found = found + padded[:, :, :HEIGHT, :WIDTH] + padded[:, :, -HEIGHT:, -WIDTH:]
        return class_map(found)

    net, twin = twin_of(tmp_path, then)
    images = street_images(HEIGHT, WIDTH)
    assert agreement(run_onnxruntime(twin, images), run_paddle(net, images)) >= 0.9995
    assert agreement(run_openvino(twin, images), run_paddle(net, images)) >= 0.9995


@pytest.mark.parametrize("tiny", [lambda x: x + 1e-6, lambda x: x * 2 - 5e-7, lambda x: (x + 3e-7) * 3])
def test_small_summand_is_kept(tmp_path: Path, tiny: Any) -> None:
    """As in SegNeXt: what is divided is not 0, and what divides is."""
    net, twin = twin_of(tmp_path, lambda logits: class_map(logits * (tiny(F.relu(logits) * 0) * 1e9)))
    images = street_images(HEIGHT, WIDTH)
    wanted = run_paddle(net, images)
    assert len(np.unique(wanted)) > 1
    assert agreement(run_onnxruntime(twin, images), wanted) == agreement(run_openvino(twin, images), wanted) == 1


def test_crash_of_the_converter_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        onnx_twin, "CONVERT", "import os; print('so far so good', flush=True); os.kill(os.getpid(), 11)"
    )
    with pytest.raises(Failed) as caught:
        twin_of(tmp_path, class_map)
    assert str(caught.value) == "paddle2onnx crashed by SIGSEGV: so far so good"


def test_folding_keeps_what_is_not_known() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["rows"]),
        helper.make_node("Squeeze", ["rows"], ["row"], axes=[0]),
        helper.make_node("Add", ["row", "unknown"], ["sum"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [5, 7]),
            helper.make_tensor_value_info("unknown", TensorProto.INT64, []),
        ],
        [helper.make_tensor_value_info("sum", TensorProto.INT64, [])],
        [numpy_helper.from_array(np.array([1]), "zero")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)])  # Squeeze in its old form
    onnx_twin.fold(model)
    assert operators(model) == ["Add"]
    assert {t.name: numpy_helper.to_array(t).tolist() for t in model.graph.initializer}["row"] == 7


def with_record(net: Path) -> list[str]:
    """Arguments of the script for a twin that is compared: a model.json beside the network."""
    facts = {"input": {"height": HEIGHT, "width": WIDTH}, "preprocessing": PREPROCESSING}
    record = net.with_name("model.json")
    write_record(record, {"status": "ok", "reason": "", **facts})
    return ["--model", str(record)]


def run_script(
    folder: Path, net: Path, *more: str, script: Path = SCRIPT, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, script, "--pdmodel", net, "--pdiparams", net.with_suffix(".pdiparams")]
    command += ["--out", folder / "out" / "model.onnx", *more]
    words = [str(part) for part in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, **(env or {})})


def test_script_writes_the_twin_and_its_status(tmp_path: Path) -> None:
    net = save_network(tmp_path / "net", class_map, size=(HEIGHT, WIDTH))
    done = run_script(tmp_path, net, "--status", str(tmp_path / "out" / "onnx.json"))
    assert done.returncode == 0, done.stderr
    status = json.loads((tmp_path / "out" / "onnx.json").read_text())
    assert (status["status"], status["reason"]) == ("ok", "")
    assert status["onnx_bytes"] == (tmp_path / "out" / "model.onnx").stat().st_size > 0
    images = street_images(HEIGHT, WIDTH)
    assert agreement(run_onnxruntime(tmp_path / "out" / "model.onnx", images), run_paddle(net, images)) >= 0.9995


def test_script_leaves_an_empty_file_and_the_reason(tmp_path: Path) -> None:
    net = save_network(tmp_path / "net", lambda logits: class_map(paddle.lgamma(logits)), size=(HEIGHT, WIDTH))
    done = run_script(tmp_path, net, "--status", str(tmp_path / "out" / "onnx.json"))
    assert done.returncode == 0, done.stderr
    status = json.loads((tmp_path / "out" / "onnx.json").read_text())
    assert status["status"] == "unsupported"
    assert status["reason"] == "paddle2onnx has no ONNX form for lgamma"
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b""
    assert run_script(tmp_path, net).returncode == 1


def test_twin_is_compared_with_paddle_when_it_is_made(tmp_path: Path) -> None:
    net = save_network(tmp_path / "net", class_map, size=(HEIGHT, WIDTH))
    done = run_script(tmp_path, net, "--status", str(tmp_path / "onnx.json"), *with_record(net))
    assert done.returncode == 0, done.stderr
    status = read_json(tmp_path / "onnx.json")
    assert status["status"] == "ok" and status["agreement"] >= 0.9995 and status["classes"] > 1


def patched(folder: Path, old: str, new: str, file: str = "segbench/models/onnx_twin.py") -> Path:
    """A copy of the script, and of the modules that it uses, with a change in one file."""
    copy = folder / "workflow_scripts"
    shutil.copytree(SCRIPT.parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    path = copy / file
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new))
    return copy / SCRIPT.name


def without_repair(folder: Path, repair: str, then: Any, *more: str, instead: str = "") -> dict[str, Any]:
    """The status of a twin that lacks one of our repairs of what paddle2onnx makes."""
    net = save_network(folder / "net", then, size=(HEIGHT, WIDTH))
    script = patched(folder, repair, instead or ("pass" if repair.startswith("_") else ""))
    done = run_script(folder, net, "--status", str(folder / "onnx.json"), *with_record(net), *more, script=script)
    assert done.returncode == 0, done.stderr
    status: dict[str, Any] = read_json(folder / "onnx.json")
    assert ((folder / "out" / "model.onnx").read_bytes() == b"") == (status["status"] != "ok")
    return status


def test_twin_that_computes_another_function_is_refused(tmp_path: Path) -> None:
    status = without_repair(tmp_path, "_make_exact(model, pool, shapes_of(infer(model)))", pooled((3, 7)))
    assert (status["status"], status["reason"]) == (
        "unsupported",
        "paddle2onnx makes another function of this model: on a drawn image its class map agrees with native Paddle's"
        f" on {status['agreement']:.4f} of pixels (bound 0.9995)",
    )


def test_bound_of_the_comparison_can_be_chosen(tmp_path: Path) -> None:
    repair = "_make_exact(model, pool, shapes_of(infer(model)))"
    status = without_repair(tmp_path, repair, pooled((3, 7)), "--bound", "0.1")
    assert status["status"] == "ok" and 0.1 <= status["agreement"] < 0.9995


def test_twin_whose_class_map_has_another_size_is_refused(tmp_path: Path) -> None:
    def then(logits: Any) -> Any:
        small, weight = F.avg_pool2d(logits, 2), paddle.ones([4, 4, 3, 3])
        return class_map(F.conv2d_transpose(small, weight, stride=2, padding=1, output_size=[HEIGHT, WIDTH]))

    unmarked = "pdmodel.read_bytes(), []"
    status = without_repair(tmp_path, "marked(pdmodel.read_bytes())", then, instead=unmarked)
    assert (status["status"], status["reason"]) == (
        "unsupported",
        "paddle2onnx makes another function of this model: its class map is 63×95, native Paddle's 64×96",
    )


def test_twin_that_cannot_run_is_refused_with_the_reason(tmp_path: Path) -> None:
    def then(logits: Any) -> Any:
        weight = paddle.arange(4 * 4 * 9, dtype="float32").reshape([4, 4, 3, 3]).sin()
        return class_map(F.conv2d(logits, weight, padding="SAME", dilation=2))

    status = without_repair(tmp_path, "    _pad_as_paddle(model)\n", then)
    assert status["status"] == "unsupported" and status["reason"].startswith("running the ONNX twin: ")


def test_crash_of_paddle_itself_costs_no_twin_and_is_noted(tmp_path: Path) -> None:
    net = save_network(tmp_path / "net", class_map, size=(HEIGHT, WIDTH))
    told = '    progress("running native Paddle")\n'
    crash = f"{told}    import os\n\n    print('so far', flush=True)\n    os.kill(os.getpid(), 11)\n"
    script = patched(tmp_path, told, crash, SCRIPT.name)
    done = run_script(tmp_path, net, "--status", str(tmp_path / "onnx.json"), *with_record(net), script=script)
    assert done.returncode == 0, done.stderr
    status = read_json(tmp_path / "onnx.json")
    assert status["status"] == "ok" and (tmp_path / "out" / "model.onnx").stat().st_size > 0
    (note,) = status["notes"]
    assert note.startswith("its ONNX twin was not compared with Paddle: crashed by SIGSEGV while running native Paddle")
    assert ";" not in note  # which would end it in the table


def test_conversion_that_does_not_end_is_stopped_and_becomes_the_reason(tmp_path: Path) -> None:
    net = save_network(tmp_path / "net", class_map, size=(HEIGHT, WIDTH))
    script = patched(tmp_path, 'CONVERT = """', 'CONVERT = """import time; time.sleep(600)\n')
    limits = {"SEGBENCH_LIMITS": json.dumps({"stall_s": 600, "conversion_s": 10})}
    done = run_script(tmp_path, net, "--status", str(tmp_path / "onnx.json"), script=script, env=limits)
    assert done.returncode == 0, done.stderr
    status = read_json(tmp_path / "onnx.json")
    assert status["status"] == "failed"
    assert status["reason"] == "time limit: 10 s were over while converting to ONNX (limits.conversion_s)"
    assert (tmp_path / "out" / "model.onnx").read_bytes() == b""
