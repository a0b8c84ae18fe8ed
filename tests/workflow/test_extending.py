"""What docs/develop/extending.md promises: each kind of thing is added by the files that it names, and by no others."""

from __future__ import annotations

import subprocess
import sys

ENGINE = '''
"""ONNX Runtime under another name."""

from dataclasses import dataclass

from segbench.engines.onnxruntime import ONNXRuntime


@dataclass(frozen=True)
class RunOptions:
    """`spinning`: whether idle threads wait busily; `memory_arena`: whether freed memory is kept; `toy`: nothing."""

    spinning: bool = True
    memory_arena: bool = True
    toy: int = 7


class Toy(ONNXRuntime):
    """The same, but for its options."""

    run_options = RunOptions


ENGINE = Toy()
'''
CALIBRATOR = '''
"""Ranges that are known without any image."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from segbench.calibration import qdq
from segbench.calibration.base import TABLE, Calibrator, Task
from segbench.calibration.table import CalibrationTable, write_table


@dataclass(frozen=True)
class Options:
    """`most`: the largest value of every activation, the smallest being its opposite."""

    most: float = 6.0


class Toy(Calibrator):
    """The same range for all activations."""

    packages = ("onnxruntime",)
    reads = ("onnx",)
    leaves_table = True
    options = Options

    def calibrate(self, task: Task, options: Any, out: Path) -> dict[str, Any]:
        """Leave `table.json`."""
        import onnx

        with TemporaryDirectory(dir=out) as folder:
            graph = onnx.load(str(qdq.prepare(task.model, Path(folder)))).graph
        names = {name for node in graph.node for name in (*node.input, *node.output)}
        ranges = {name: (-options.most, options.most) for name in sorted(names) if name}
        images = {row["image_id"]: row["image_sha256"] for row in task.images.rows}
        write_table(out / TABLE, CalibrationTable(task.model.digest, images, {"library": "toy"}, {}, ranges))
        return {"tensor_count": len(ranges)}


CALIBRATOR = Toy()
'''
LAYOUT = '''
"""NAME.png beside NAME.label.png."""

from pathlib import Path
from typing import Any

from segbench.datasets.base import Facts, Layout, Pair, pair_with_label, safe_id


class Toy(Layout):
    """Images and labels in one folder."""

    about = "{split}/NAME.png beside {split}/NAME.label.png"

    def pairs(self, root: Path, split: str, entry: dict[str, Any]) -> list[Pair]:
        """Every image of the split."""
        images = [path for path in sorted((root / split).glob("*.png")) if not path.name.endswith(".label.png")]
        return [pair_with_label(safe_id(Path(p.name)), p, p.with_suffix(".label.png")) for p in images]

    def facts(self, root: Path, split: str, entry: dict[str, Any]) -> Facts:
        """Four colours."""
        return Facts(["red", "green", "blue", "grey"])


LAYOUT = Toy()
'''
PLOT = '''

def toy(rows: list[Facts]) -> Plot:
    """The number of rows, as a plot."""
    return Plot(
        name="toy",
        title="A toy",
        caption=PLOTS["toy"],
        description="A bar.",
        chart=alt.Chart(alt.Data(values=[{"count": len(rows)}])).mark_bar().encode(x="count:Q"),
        records=[{"count": len(rows)}],
        table=Table(["count"], [("toy", [str(len(rows))])]),
        nothing="",
        height=100,
    )
'''


def documented(flow) -> dict[str, str]:
    """The generated pages, made anew in the copy."""
    done = subprocess.run(
        [sys.executable, "tools/document.py"], cwd=flow.folder, capture_output=True, text=True, check=True
    )
    return {name: (flow.folder / name).read_text() for name in done.stdout.split()}


def test_engine_calibrator_and_layout_are_a_file_each(workflow):
    modules = workflow.folder / "workflow_scripts/segbench"
    (modules / "engines/toy.py").write_text(ENGINE)
    (modules / "calibration/toy.py").write_text(CALIBRATOR)
    (modules / "datasets/toy.py").write_text(LAYOUT)
    root = workflow.folder / "street scenes"
    for image in (root / "val").glob("*.png"):
        (root / "labels" / image.name).rename(image.with_suffix(".label.png"))
    (root / "train").mkdir()
    for path in (root / "val").glob("*.png"):
        data = path.read_bytes() + b"\n"  # another file, the same picture: training images are not val's
        (root / "train" / path.name).write_bytes(data)
    workflow.config |= {
        "variants": ["onnxruntime-fp32", "toy-fp32", "toy-int8"],
        "rounds": 1,
        "calibration": {"images": 2, "judging_images": 1, "max_drop": None},
        "calibrator_catalogue": {"flat": {"library": "toy", "options": {"most": 300.0}}},
        "variant_catalogue": {
            "toy-fp32": {"engine": "toy", "precision": "fp32", "run": {"toy": 8}},
            "toy-int8": {"engine": "toy", "precision": "int8", "calibrator": "flat"},
        },
    }
    workflow.config["dataset_catalogue"]["made"] = {"kind": "toy", "root": "street scenes"}
    workflow.snakemake("results/table.csv")
    first, toy, quantised = workflow.rows()
    assert (toy["engine"], toy["status"], toy["miou"]) == ("toy", "ok", first["miou"])
    assert (quantised["calibrator"], quantised["status"]) == ("flat", "ok"), quantised["reason"]
    pages = documented(workflow)
    assert list(pages) == ["config/README.md"]
    readme = pages["config/README.md"]
    assert "### toy" in readme and "`toy: 7`" in readme
    assert "| `toy` | cpu | fp32, int8 |" in readme
    assert "| `toy` | a table |" in readme
    assert "| `toy` | {split}/NAME.png beside {split}/NAME.label.png |" in readme


def test_names_without_a_file_are_refused_with_the_nearest(workflow):
    wrong = {
        "variant_catalogue": ({"engine": "onxruntime", "precision": "fp32"}, "did you mean 'onnxruntime'?"),
        "calibrator_catalogue": ({"library": "nnfc"}, "did you mean 'nncf'?"),
        "dataset_catalogue": ({"kind": "cityscape", "root": "."}, "did you mean 'cityscapes'?"),
    }
    for catalogue, (entry, _) in wrong.items():
        workflow.config.setdefault(catalogue, {})["mine"] = entry
    printed = workflow.snakemake("--dry-run", fails=True)
    for catalogue, (_, nearest) in wrong.items():
        (line,) = [line for line in printed.splitlines() if f"{catalogue}.mine." in line]
        assert line.endswith(nearest)


def test_a_file_that_cannot_be_imported_is_named_in_one_line(workflow):
    (workflow.folder / "workflow_scripts/segbench/datasets/broken.py").write_text("def x(:")
    workflow.snakemake("--dry-run")  # nothing asks for it
    workflow.config["dataset_catalogue"]["mine"] = {"kind": "broken", "root": "."}
    printed = workflow.snakemake("--dry-run", fails=True)
    assert "workflow_scripts/segbench/datasets/broken.py: cannot be imported: SyntaxError" in printed
    assert "Traceback" not in printed


def test_plot_is_a_function_and_its_caption(done):
    report = done.folder / "workflow_scripts/segbench/report"
    plots, names = report / "plots.py", report / "__init__.py"
    call, first = "    yield accuracy_latency(rows)\n", '    "speed_up":'
    assert call in plots.read_text() and first in names.read_text()
    plots.write_text(plots.read_text().replace(call, f"{call}    yield toy(rows)\n") + PLOT)
    names.write_text(names.read_text().replace(first, f'    "toy": "A caption of a toy.",\n{first}', 1))
    assert documented(done) == {"report/toy.rst": "A caption of a toy.\n"}
    done.snakemake()
    assert "A caption of a toy." in (done.folder / "results/report.html").read_text()
    assert (done.folder / "results/plots/toy.svg").exists() and (done.folder / "results/plots/toy.png").exists()
