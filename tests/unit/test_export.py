"""Paddle models are exported whole: fixed shape, class map out, the same bytes every time, bad input named."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import export_paddle
import numpy as np
import onnx
import paddle
import pytest
from helpers.paddle_made import agreement, run_onnxruntime, run_openvino, run_paddle, save_network, street_images
from segbench.engines import base
from segbench.errors import InputError
from segbench.models import architectures, narrow, onnx_twin
from segbench.models.paddle_files import read_program, stored_variables

HEIGHT, WIDTH = 64, 96


def entry(
    architecture: str | None = "gcnet", kind: str = "narrow", weights: Any = "random", **other: Any
) -> dict[str, Any]:
    """A catalogue entry as scripts get it: validated, all keys there."""
    return {
        "kind": kind,
        "title": "",
        "architecture": architecture,
        "weights": weights,
        "input": {"height": HEIGHT, "width": WIDTH},
        "class_count": 19,
        "class_map": None,
        "output": None,
        "preprocessing": {
            "channel_order": "rgb",
            "scale": 1 / 255,
            "mean": [0.5] * 3,
            "std": [0.5] * 3,
            "resize": "none",
        },
        **other,
    }


def export(folder: Path, given: dict[str, Any], checkpoint: Path | None = None) -> Path:
    pdmodel = folder / "out" / "model.pdmodel"
    export_paddle.export("mine", given, checkpoint, pdmodel, pdmodel.with_suffix(".pdiparams"))
    return pdmodel


def refusal(folder: Path, given: dict[str, Any], checkpoint: Path | None = None) -> str:
    """The one-line message of an export that is refused, and leaves nothing."""
    with pytest.raises(InputError) as caught:
        export(folder, given, checkpoint)
    assert "\n" not in str(caught.value)
    assert list((folder / "out").glob("*") if (folder / "out").exists() else []) == []
    return str(caught.value)


def random_weights(architecture: str) -> dict[str, np.ndarray]:
    layer = architectures.build(entry(architecture), HEIGHT, WIDTH)
    return {name: tensor.numpy() for name, tensor in layer.state_dict().items()}


def test_exported_class_map_is_the_layers_argmax(tmp_path: Path) -> None:
    given = entry("unet", kind="paddleseg")
    layer = architectures.build(given, HEIGHT, WIDTH)
    images = street_images(HEIGHT, WIDTH)
    with paddle.no_grad():
        logits = [layer(paddle.to_tensor(image))[0].numpy() for image in images]
    found = run_paddle(export(tmp_path, given), images)
    assert found[0].shape == (1, HEIGHT, WIDTH)
    assert agreement(found, [values.argmax(1).astype(np.uint8) for values in logits]) >= 0.9995
    # Random weights that are good for something: finite scores, several classes, no ties.
    assert all(np.isfinite(values).all() and 0.1 < values.std() < 100 for values in logits)
    shares = np.bincount(np.concatenate(found).ravel(), minlength=19) / np.concatenate(found).size
    assert (shares > 0.01).sum() >= 4
    best = np.sort(np.concatenate(logits), axis=1)[:, -2:]
    assert (best[:, 1] - best[:, 0] < 1e-3).mean() < 0.01


def test_same_entry_gives_the_same_bytes_whatever_was_done_before(tmp_path: Path) -> None:
    first = export(tmp_path / "a", entry())
    architectures.build(entry("unet"), HEIGHT, WIDTH)  # moves Paddle's name counters and random state
    second = export(tmp_path / "b" / "deeper", entry())
    assert first.read_bytes() == second.read_bytes()
    assert first.with_suffix(".pdiparams").read_bytes() == second.with_suffix(".pdiparams").read_bytes()
    assert b".py" not in first.read_bytes()  # no call stacks: they name folders of this machine


def test_checkpoint_is_what_is_exported(tmp_path: Path) -> None:
    source = narrow.build_narrow("gcnet", 19)
    narrow.save_arrays(source, tmp_path / "weights.npz")
    paddle.save(source.state_dict(), str(tmp_path / "weights.pdparams"))
    source.eval()
    images = street_images(HEIGHT, WIDTH)
    for name, bound in (("weights.npz", 0.98), ("weights.pdparams", 0.9995)):  # .npz has 16-bit values
        with paddle.no_grad():
            wanted = [source(paddle.to_tensor(image))[0].numpy().argmax(1).astype(np.uint8) for image in images]
        given = entry(weights={"url": None, "path": name, "sha256": None})
        assert agreement(run_paddle(export(tmp_path, given, tmp_path / name), images), wanted) >= bound


def test_record_has_what_later_stages_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "mine"
    files = ["--pdmodel", out / "model.pdmodel", "--pdiparams", out / "model.pdiparams", "--json", out / "model.json"]
    monkeypatch.setattr(sys, "argv", ["x", "--model", "mine", "--entry", json.dumps(entry()), *map(str, files)])
    export_paddle.main()
    record = json.loads((out / "model.json").read_text())
    assert record["model"] == "mine"
    assert record["kind"] == "narrow" and not record["has_trained_weights"]
    assert record["parameter_count"] == narrow.parameter_count(narrow.build_narrow("gcnet", 19))
    assert record["exported_bytes"] == sum((out / name).stat().st_size for name in record["files"])
    assert sorted(record["files"]) == ["model.pdiparams", "model.pdmodel"]
    assert record["versions"]["paddleseg"]
    assert {"input", "preprocessing", "class_count", "class_map"} <= record.keys()


def test_class_map_of_the_wrong_length_is_named(tmp_path: Path) -> None:
    assert refusal(tmp_path, entry(class_map=[0, 1, 255])) == (
        "model_catalogue.mine.class_map: has 3 entries, but class_count is 19; give one trainId per output channel,"
        " 255 for none"
    )


def test_tiny_input_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, entry(input={"height": 16, "width": 512})) == (
        "model_catalogue.mine.input: 16×512; height and width must be at least 32"
    )


def test_checkpoint_that_does_not_fit_is_named(tmp_path: Path) -> None:
    arrays = random_weights("unet")
    names = list(arrays)
    arrays["extra.weight"] = np.zeros(3, np.float32)
    arrays[names[1]] = arrays[names[1]][:1]
    for name in names[-4:]:
        del arrays[name]
    np.savez(tmp_path / "weights.npz", **arrays)
    given = entry("unet", weights={"url": None, "path": "weights.npz", "sha256": None})
    said = refusal(tmp_path, given, tmp_path / "weights.npz")
    shape = list(random_weights("unet")[names[1]].shape)
    assert said == (
        "model_catalogue.mine.weights: do not fit its architecture and class_count:"
        f" 4 missing: {', '.join(names[-4:-1])}, …; 1 unexpected: extra.weight;"
        f" 1 of another shape or type: {names[1]} [1], expected {shape}"
    )


def test_checkpoint_with_infinite_values_is_refused(tmp_path: Path) -> None:
    arrays = random_weights("unet")
    first = next(iter(arrays))
    arrays[first][0] = np.inf
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(arrays))
    given = entry("unet", weights={"url": None, "path": "w.pdparams", "sha256": None})
    said = refusal(tmp_path, given, tmp_path / "w.pdparams")
    assert said == f"model_catalogue.mine.weights: {first} has values that are not finite"


FORMS = {
    "logits": lambda logits: logits,
    "softmax": lambda logits: paddle.nn.functional.softmax(logits, axis=1),
    "int32 map": lambda logits: logits.argmax(1, dtype="int32"),
    "int64 map with a channel": lambda logits: logits.argmax(1, keepdim=True),
}


def doubled_in_a_loop(logits: Any) -> Any:
    count = paddle.zeros([1], "int32")
    while count < 3:
        logits = logits * -2
        count += 1
    return logits


def operators_of(pdmodel: Path) -> list[str]:
    program = read_program(pdmodel.read_bytes())
    return [program.block(0).op(number).type() for number in range(program.block(0).op_size())]


class TestOwnModel:
    """A person's own Paddle inference model."""

    def entry(self, **other: Any) -> dict[str, Any]:
        weights = {"url": None, "path": "net.pdmodel", "sha256": None}
        return entry(None, kind="paddle_inference", weights=weights, class_count=4, **other)

    @pytest.mark.parametrize("form", FORMS)
    def test_class_map_comes_out_of_each_form(self, tmp_path: Path, form: str) -> None:
        images = street_images(HEIGHT, WIDTH)
        net = save_network(tmp_path / "net", FORMS[form])
        plain = run_paddle(net, images)
        wanted = [(out.argmax(1) if out.dtype == np.float32 else out).reshape(1, HEIGHT, WIDTH) for out in plain]
        exported = export(tmp_path, self.entry(), net)
        assert agreement(run_paddle(exported, images), [out.astype(np.uint8) for out in wanted]) == 1
        assert b".py" not in exported.read_bytes()

    def test_size_is_fixed_for_engines_that_want_it_so(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", FORMS["logits"])
        exported = export(tmp_path, self.entry(), net)
        images = street_images(HEIGHT, WIDTH)
        assert agreement(run_openvino(exported, images), run_paddle(exported, images)) >= 0.9995

    def test_class_count_is_checked(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", FORMS["logits"])
        said = refusal(tmp_path, {**self.entry(), "class_count": 5}, net)
        assert said.startswith("model_catalogue.mine.class_count: 5, but the model's output ")
        assert said.endswith(f"is float32 [1, 4, {HEIGHT}, {WIDTH}]: 4 channels")

    def test_input_of_another_fixed_size_is_named(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", FORMS["logits"], size=(32, 48))
        assert refusal(tmp_path, self.entry(), net) == (
            "model_catalogue.mine.input: 64×96, but the model's input x0 is float32 [1, 3, 32, 48];"
            " wanted: float32 [1, 3, 64, 96] (-1: any)"
        )

    def test_two_inputs_are_named(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", FORMS["logits"], inputs=2)
        assert refusal(tmp_path, self.entry(), net) == (
            "model_catalogue.mine.weights: the model has 2 inputs (x0, x1); a segmentation model has one, the image"
        )

    def test_first_of_several_outputs_is_taken_and_noted(self, tmp_path: Path) -> None:
        images = street_images(HEIGHT, WIDTH)
        net = save_network(tmp_path / "net", lambda logits: [logits, -logits])
        alone = save_network(tmp_path / "alone", lambda logits: logits)
        pdmodel = tmp_path / "out" / "model.pdmodel"
        _, notes = export_paddle.export("mine", self.entry(), net, pdmodel, pdmodel.with_suffix(".pdiparams"))
        wanted = [out.argmax(1).astype(np.uint8) for out in run_paddle(alone, images)]
        assert agreement(run_paddle(pdmodel, images), wanted) == 1
        (note,) = notes
        assert note.startswith("the model has 2 outputs: 0 ") and note.endswith(", of which the first is taken")

    def test_another_output_is_taken_by_number_or_name(self, tmp_path: Path) -> None:
        images = street_images(HEIGHT, WIDTH)
        net = save_network(tmp_path / "net", lambda logits: [logits.mean(), -logits])
        alone = save_network(tmp_path / "alone", lambda logits: -logits)
        wanted = [out.argmax(1).astype(np.uint8) for out in run_paddle(alone, images)]
        assert agreement(run_paddle(export(tmp_path, self.entry(output=1), net), images), wanted) == 1
        said = refusal(tmp_path / "no", self.entry(output="logits"), net)
        assert said.startswith("model_catalogue.mine.output: 'logits' is none of them: the model has 2 outputs: 0 ")
        name = said.rpartition(" 1 ")[2]
        assert agreement(run_paddle(export(tmp_path / "b", self.entry(output=name), net), images), wanted) == 1
        assert "output: 2 is none of them" in refusal(tmp_path / "no", self.entry(output=2), net)

    def test_model_exported_on_a_gpu_runs_on_the_cpu(self, tmp_path: Path) -> None:
        """A GPU's export can have sync_batch_norm, which has no CPU kernel; simulated by its name."""
        images = street_images(HEIGHT, WIDTH)
        net = save_network(tmp_path / "net", FORMS["logits"])
        wanted = run_paddle(export(tmp_path / "cpu", self.entry(), net), images)
        program = read_program(net.read_bytes())
        block = program.block(0)
        (normalisation,) = [o for o in map(block.op, range(block.op_size())) if o.type() == "batch_norm"]
        normalisation.set_type("sync_batch_norm")
        net.write_bytes(program.serialize_to_string())
        assert agreement(run_paddle(export(tmp_path / "gpu", self.entry(), net), images), wanted) == 1

    def test_size_that_the_model_cannot_take_is_named(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", lambda logits: logits + paddle.ones([1, 1, 32, 48]))
        said = refusal(tmp_path, self.entry(), net)
        assert said.startswith(
            "model_catalogue.mine.input: 64×96: the model cannot take it: operator elementwise_add: "
        )

    def test_size_that_only_the_image_tells_is_no_misfit(self, tmp_path: Path) -> None:
        """As PointRend's: how many pixels are found is known when the network runs."""

        def then(logits: Any) -> Any:
            flat = logits.flatten()
            found = paddle.nonzero(flat > -1e9).flatten()
            return paddle.scatter(flat, found, flat * -1).reshape([1, 4, HEIGHT, WIDTH])

        images = street_images(HEIGHT, WIDTH)
        net = save_network(tmp_path / "net", then)
        wanted = [out.argmax(1).astype(np.uint8) for out in run_paddle(net, images)]
        assert agreement(run_paddle(export(tmp_path, self.entry(), net), images), wanted) == 1

    def test_loop_in_the_graph_is_kept(self, tmp_path: Path) -> None:
        images = street_images(HEIGHT, WIDTH)
        net = save_network(tmp_path / "net", doubled_in_a_loop)
        plain = save_network(tmp_path / "plain", lambda logits: -logits)
        assert "while" in operators_of(net)
        wanted = [out.argmax(1).astype(np.uint8) for out in run_paddle(plain, images)]
        assert agreement(run_paddle(export(tmp_path, self.entry(), net), images), wanted) == 1

    def test_logits_of_another_size_are_refused(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", lambda logits: paddle.nn.functional.avg_pool2d(logits, 2))
        said = refusal(tmp_path, self.entry(), net)
        assert said.endswith("is float32 [1, 4, 32, 48]; wanted: float32 logits [1, 4, 64, 96] or an integer class map")

    def test_paddle_3_model_is_refused_before_it_is_loaded(self, tmp_path: Path) -> None:
        path = tmp_path / "renamed.pdmodel"
        path.write_text('{"base_code": {"magic": "pir"}}')
        assert refusal(tmp_path, self.entry(), path) == (
            f"model_catalogue.mine.weights: {path}: a Paddle 3 model in JSON form; name it in weights as renamed.json"
        )
        (tmp_path / "net.json").touch()
        assert "as net.json" in refusal(tmp_path, self.entry(), tmp_path / "net.pdmodel")

    @pytest.mark.parametrize(
        ("suffix", "content", "said"),
        [
            (".pdmodel", b"", "net.pdmodel: not a Paddle inference model, or a damaged one"),
            (".pdmodel", b"junk", "net.pdmodel: not a Paddle inference model, or a damaged one"),
            (".pdiparams", b"", "net.pdiparams do not belong together: their parameters differ"),
            (".pdiparams", b"junk" * 99, "net.pdiparams: not Paddle parameters, or damaged ones ("),
            (".pdiparams", None, "net.pdiparams: no such file; X.pdmodel and X.pdiparams stand side by side"),
        ],
    )
    def test_damaged_files_are_named(self, tmp_path: Path, suffix: str, content: bytes | None, said: str) -> None:
        net = save_network(tmp_path / "net", FORMS["logits"])
        path = net.with_suffix(suffix)
        path.unlink()
        if content is not None:
            path.write_bytes(content)
        assert said in refusal(tmp_path, self.entry(), net)

    def test_truncated_parameters_are_named(self, tmp_path: Path) -> None:
        net = save_network(tmp_path / "net", FORMS["logits"])
        parameters = net.with_suffix(".pdiparams")
        parameters.write_bytes(parameters.read_bytes()[:-4])
        assert refusal(tmp_path, self.entry(), net) == f"model_catalogue.mine.weights: {parameters}: truncated"
        assert stored_variables(net.read_bytes())


def run_engine(name: str, model: Path, size: dict[str, int], images: list[np.ndarray]) -> list[np.ndarray]:
    """Class maps of the engine of that name, built and opened as the chain does it."""
    engine, variant = base.load(name), base.Variant(name, name, "fp32")
    out = model / name
    engine.build(base.ExportedModel(model, {"input": size}), None, variant, engine.build_options(), out)
    session = engine.open(out, variant, engine.run_options(), threads=2)
    found = []
    for image in images:
        session.upload(image)
        session.execute()
        session.synchronize()
        found.append(session.download()[None])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("architecture", architectures.SHORT_NAMES)
def test_every_engine_agrees_with_native_paddle(tmp_path: Path, architecture: str) -> None:
    height, width = 256, 512
    given = entry(architecture, kind="paddleseg", input={"height": height, "width": width})
    pdmodel = export(tmp_path, given)
    twin = pdmodel.with_suffix(".onnx")
    onnx.save(onnx_twin.make_twin(pdmodel, pdmodel.with_suffix(".pdiparams")), str(twin))
    images = street_images(height, width, count=3)
    native = run_paddle(pdmodel, images)
    assert agreement(native, run_onnxruntime(twin, images)) >= 0.9995
    assert agreement(native, run_openvino(pdmodel, images)) >= 0.9995
    assert agreement(native, run_openvino(twin, images)) >= 0.9995
    for name in ("paddle_onednn", "onnxruntime", "openvino"):  # by the engine files themselves, with their defaults
        assert agreement(native, run_engine(name, pdmodel.parent, given["input"], images)) >= 0.9995, name
