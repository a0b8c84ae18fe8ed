"""What the rules look up: functions of wildcards over the checked configuration.

They stand here and not among the rules so that a rule file holds rules only, and tests can call them.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from itertools import product
from types import SimpleNamespace
from typing import Any

from segbench.calibration import base as calibration
from segbench.config.schema import suffix_of
from segbench.engines import base
from segbench.images import shards
from segbench.machine.cpu import package_version, this_machine
from segbench.planning import resources
from segbench.planning.code import SCRIPTS, modules_of
from segbench.planning.fingerprint import fingerprint

GENERATED = "results/generated/{dataset}"
RUN = "results/runs/{dataset}/{model}/{variant}/{round}/{shard}"
TEMPLATES = SCRIPTS / "segbench" / "report" / "templates"
SHOWN = ("dataset", "models", "variants", "rounds", "shards", "timing", "calibration", "reference", "agreement_bounds")
ENGINE = "results/engines/{dataset}/{model}/{variant}"
OTHER = "results/engines/{dataset}/{model}/{other}"


class Parameters:
    """Look-ups in `config`, what `read_config` returned. `w` is a job's wildcards."""

    def __init__(self, config: dict[str, Any], overlays: Sequence[str] = (), cluster: bool = False) -> None:
        self.config = config
        self.cluster = cluster  # jobs are submitted to other machines
        self.overlays = overlays  # files given by --configfile, for the report's words only

    # Code

    def code(self, script: str, engine: bool = False, calibrator: bool = False) -> dict[str, Any]:
        """Inputs `script` and `modules`: the rule's script and what it imports; of engines and calibrators the one that
        the wildcards name."""
        modules: Any = modules_of(script)
        if engine:
            modules = lambda w: modules_of(script, f"engines/{self.variant_of(w)['engine']}.py")  # noqa: E731
        if calibrator:
            modules = lambda w: modules_of(script, f"calibration/{self.calibrator_of(w)['library']}.py")  # noqa: E731
        return {"script": f"workflow_scripts/{script}", "modules": modules}

    def interpreter(self, w: Any) -> str:
        """The Python that the variant's engine is installed in."""
        return self._interpreter_of(self.variant_of(w)["engine"]) or "python"

    def _interpreter_of(self, engine: str) -> str | None:
        """What config names, else the engine's own environment where `make` has made it; None: Snakemake's own."""
        configured: str | None = self.config["interpreters"].get(engine)
        return configured or base.own_interpreter(engine)

    def environment_of_engine(self, w: Any) -> str:
        """The pinned environment of the variant's engine family, for `--sdm conda`."""
        return f"../{self.engine_of(w).environment}"

    def fingerprint_of(self, w: Any) -> str:
        """Versions and hardware that a status depends on (see segbench/planning/fingerprint.py)."""
        engine = self.variant_of(w)["engine"]
        return self.config["fingerprint"] or fingerprint(engine, self._interpreter_of(engine))

    # Sections and entries

    def section(self, name: str) -> str:
        """One section of the configuration as one value: every key of it counts for reruns, and only these."""
        return json.dumps(self.config[name])

    def model_of(self, w: Any) -> dict[str, Any]:
        """The model's entry."""
        entry: dict[str, Any] = self.config["model_catalogue"][w.model]
        return entry

    def model_json(self, w: Any) -> str:
        """The model's entry, for a command line, without its title: that is the table's."""
        return json.dumps({key: value for key, value in self.model_of(w).items() if key != "title"})

    def variant_of(self, w: Any) -> dict[str, Any]:
        """The variant's entry."""
        entry: dict[str, Any] = self.config["variant_catalogue"][w.variant]
        return entry

    def engine_of(self, w: Any) -> base.Engine:
        """The variant's engine."""
        return base.load(self.variant_of(w)["engine"])

    def variant_json(self, w: Any) -> str:
        """Name, engine and precision of the variant: what makes it what it is."""
        variant = self.variant_of(w)
        return json.dumps({"name": w.variant, "engine": variant["engine"], "precision": variant["precision"]})

    def options_json(self, kind: str) -> Callable[[Any], str]:
        """The variant's `build` or `run` options, looked up by wildcard."""
        return lambda wildcards: json.dumps(self.variant_of(wildcards)[kind])

    def names_of(self, catalogue: str, **facts: Any) -> str:
        """A wildcard pattern for the entries of `catalogue` whose keys have one of the given values."""
        fitting = [
            re.escape(name)
            for name, entry in self.config[catalogue].items()
            if all(entry[key] in values for key, values in facts.items())
        ]
        return "|".join(fitting) or "(?!)"

    # Data set

    def dataset_entry(self, w: Any) -> dict[str, Any]:
        """The data set's entry, with the root that it has in this run."""
        entry = dict(self.config["dataset_catalogue"][w.dataset])
        if entry["generate"]:
            entry["root"] = f"{GENERATED}/images".format(dataset=w.dataset)
        elif w.dataset == self.config["dataset"] and self.config["dataset_root"]:
            entry["root"] = self.config["dataset_root"]
        return entry

    def images_to_draw(self, w: Any) -> str | list[str]:
        """A generated data set has to be drawn first; any other is read where it lies."""
        return f"{GENERATED}/manifest.json".format(dataset=w.dataset) if self.dataset_entry(w)["generate"] else []

    def scenes(self, w: Any) -> list[str]:
        """Arguments of the script that draws a data set."""
        return [f"--{key}={value}" for key, value in self.dataset_entry(w)["generate"].items()]

    def drawn_images(self, w: Any) -> str | list[str]:
        """The folder of a generated data set's images."""
        return f"{GENERATED}/images".format(dataset=w.dataset) if self.dataset_entry(w)["generate"] else []

    def layout_of(self, w: Any) -> str:
        """The file that knows the data set's layout."""
        return f"workflow_scripts/segbench/datasets/{self.dataset_entry(w)['kind']}.py"

    def index_entry(self, w: Any) -> str:
        """The data set's entry without its limit, an argument of its own, and without what only scores depend on."""
        return json.dumps({k: v for k, v in self.dataset_entry(w).items() if k not in ("limit", "ignored_pixels")})

    def limit(self, w: Any) -> int | None:
        """The number of validation images to use; None: all."""
        limit: int | None = self.dataset_entry(w)["limit"] if w.split == "val" else None
        return limit

    # Model

    def weights_of(self, w: Any) -> dict[str, Any]:
        """Where the model's weights come from, with `model_root` before a relative path."""
        weights = dict(self.model_of(w)["weights"])
        if weights["path"]:
            weights["path"] = os.path.normpath(os.path.join(self.config["model_root"], weights["path"]))
        return weights

    def weights_json(self, w: Any) -> str:
        """`weights_of`, for a command line."""
        return json.dumps(self.weights_of(w))

    def local_weights(self, w: Any) -> str | list[str]:
        """The weights' own file, so that a changed one is fetched again; the script tells when it is missing."""
        path = self.weights_of(w)["path"]
        if path and w.suffix == "pdiparams":
            path = os.path.splitext(path)[0] + ".pdiparams"
        return path if path and os.path.isfile(path) else []

    def checkpoint_of(self, w: Any) -> list[str]:
        """The fetched weights of a model, with the suffix that they came with (X.pdmodel has X.pdiparams beside it);
        none for random weights."""
        weights = self.model_of(w)["weights"]
        if weights == "random":
            return []
        suffix = suffix_of(weights)
        suffixes = [suffix, ".pdiparams"] if suffix == ".pdmodel" else [suffix]
        return [f"results/models/{w.model}/checkpoint{suffix}" for suffix in suffixes]

    def model_files(self, w: Any) -> list[str]:
        """The exported files that the engine builds from: its preferred form among those that the model has."""
        calibrator = self.variant_of(w)["calibrator"]
        if calibrator is None:
            return self._files(w, self.engine_of(w).reads)
        library = calibration.load(self.config["calibrator_catalogue"][calibrator]["library"])
        if library.leaves_table:
            return self._files(w, ("onnx",))
        return [] if library.folder == calibration.QUANTIZED else self._files(w, self.engine_of(w).reads)

    def _files(self, w: Any, reads: tuple[str, ...]) -> list[str]:
        """The first form of `reads` that the model has, as files."""
        folder = f"results/models/{w.model}"
        forms = ["onnx"] if self.model_of(w)["kind"] == "onnx" else ["paddle", "onnx"]
        form = next((form for form in reads if form in forms), None)
        files = {"paddle": [f"{folder}/model.pdmodel", f"{folder}/model.pdiparams"], "onnx": [f"{folder}/model.onnx"]}
        return files.get(form or "", [])

    def twin_status(self, w: Any) -> str | list[str]:
        """How the conversion to ONNX ended, where the engine builds from the twin."""
        from_twin = any(path.endswith(".onnx") for path in self.model_files(w)) and self.model_of(w)["kind"] != "onnx"
        return f"results/models/{w.model}/onnx.json" if from_twin else []

    def gpus_to_build(self, w: Any) -> int:
        """One build at a time on a GPU: kernels are chosen by their times."""
        return int(self.engine_of(w).device == "gpu")

    def engine_shapes(self, w: Any) -> str | list[str]:
        """`shapes_of`, where the engine builds from them."""
        return self.shapes_of(w) if self.engine_of(w).needs_shapes else []

    def shapes_of(self, w: Any) -> str | list[str]:
        """How the collection of the model's shapes ended; none for an ONNX model, whose engine says why."""
        return [] if self.model_of(w)["kind"] == "onnx" else f"results/models/{w.model}/shapes.json"

    def python_of(self, engine: str) -> Callable[[Any], str]:
        """The Python that `engine` is installed in, for a rule that is made for this engine."""
        return lambda wildcards: self._interpreter_of(engine) or "python"

    def fingerprint_for(self, engine: str) -> Callable[[Any], str]:
        """As `fingerprint_of`, likewise."""
        return lambda wildcards: self.config["fingerprint"] or fingerprint(engine, self._interpreter_of(engine))

    # Calibration

    def calibrator_of(self, w: Any) -> dict[str, Any]:
        """The calibrator's entry."""
        entry: dict[str, Any] = self.config["calibrator_catalogue"][w.calibrator]
        return entry

    def calibrator_json(self, w: Any) -> str:
        """The calibrator's entry with its name."""
        return json.dumps({"name": w.calibrator, **self.calibrator_of(w)})

    def calibrators(self, table: bool, folder: str = calibration.QUANTIZED) -> str:
        """A wildcard pattern for the calibrators that leave a table, or for those that leave `folder`."""
        libraries = {n: calibration.load(e["library"]) for n, e in self.config["calibrator_catalogue"].items()}
        fitting = [
            name for name, it in libraries.items() if it.leaves_table == table and (table or it.folder == folder)
        ]
        return "|".join(map(re.escape, fitting)) or "(?!)"

    def calibrator_fingerprint(self, w: Any) -> str:
        """Versions of the library's packages, and whether this CPU wants 7-bit weights; or an engine's fingerprint."""
        library = calibration.load(self.calibrator_of(w)["library"])
        if library.engine:
            return self.fingerprint_for(library.engine)(w)
        packages = library.packages
        versions = {name: package_version(name) for name in packages}
        facts = {"versions": versions, "reduce_range": calibration.needs_reduced_range(this_machine())}
        return self.config["fingerprint"] or json.dumps(facts, sort_keys=True)

    def calibration_sample(self, w: Any) -> str:
        """How many training images, chosen by which seed."""
        section = self.config["calibration"]
        return json.dumps({"count": section["images"] + section["judging_images"], "seed": section["seed"]})

    def table_settings(self, w: Any) -> str:
        """What a table depends on: not the loss that is accepted afterwards."""
        section = self.config["calibration"]
        return json.dumps({"images": section["images"], "seed": section["seed"], "max_drop": None})

    def calibrated_twin(self, w: Any) -> str | list[str]:
        """How the conversion to ONNX ended, where the model was no ONNX model from the start."""
        return [] if self.model_of(w)["kind"] == "onnx" else f"results/models/{w.model}/onnx.json"

    def files_to_calibrate(self, w: Any) -> list[str]:
        """The exported files that the calibrator reads: its preferred form among those that the model has."""
        return self._files(w, calibration.load(self.calibrator_of(w)["library"]).reads)

    def calibration_files(self, w: Any) -> list[str]:
        """What the variant's calibrator leaves, its status first; none without a calibrator."""
        name = self.variant_of(w)["calibrator"]
        if name is None:
            return []
        folder = f"results/calibration/{w.dataset}/{w.model}/{name}"
        library = calibration.load(self.config["calibrator_catalogue"][name]["library"])
        results = ["table.json", "layers.json"] if library.leaves_table else [library.folder]
        return [f"{folder}/{file}" for file in ("status.json", *results)]

    def calibration_argument(self, w: Any) -> list[str]:
        """Argument of the build script that names the calibration."""
        return [f"--calibration={path}" for path in self.calibration_files(w)[:1]]

    # Training of the demo models

    def training_root(self, w: Any) -> str:
        """The folder of the drawn training set."""
        return f"{GENERATED}/images".format(dataset=self.config["training"]["dataset"])

    def training_images(self, w: Any) -> str:
        """What is there once the training set is drawn."""
        return f"{GENERATED}/manifest.json".format(dataset=self.config["training"]["dataset"])

    def initial_weights(self, w: Any) -> str | list[str]:
        """The weights whose backbone a training starts from; none for the first and for UNet."""
        first = self.config["training"]["first"]
        return [] if w.architecture in (first, "unet") else f"results/training/{first}/weights.npz"

    def training_plan(self, w: Any) -> list[str]:
        """Arguments of the training script."""
        plan = self.config["training"]
        iterations = plan["iterations"][w.architecture]
        crop = "128x256" if w.architecture == "unet" else "160x320"  # UNet computes at the full resolution throughout
        more = [f"--{key.replace('_', '-')}={plan[key]}" for key in ("batch", "learning_rate", "seed")]
        return [f"--iterations={iterations}", f"--crop={crop}", *more]

    # Scores

    def reference_name(self, w: Any) -> str:
        """The variant, or file of stored predictions, that class maps are compared with."""
        natural = "onnxruntime-fp32" if self.model_of(w)["kind"] == "onnx" else "paddle-fp32"
        return str(self.config["reference"] or natural).format(dataset=w.dataset, model=w.model)

    def reference_files(self, w: Any) -> dict[str, str]:
        """Predictions and status of the reference: round 1 of a chosen variant (of a shard the same shard), an untimed
        run, or a stored file.

        A stored file that is missing is no input: the script tells, where Snakemake would keep the old scores.
        """
        name = self.reference_name(w)
        if name.endswith(".zip"):
            return {"reference": name} if os.path.exists(name) else {}
        here = f"{w.dataset}/{w.model}/{name}"
        run = f"results/runs/{here}/1/{getattr(w, 'shard', shards.WHOLE)}"
        folder = run if name in self.config["variants"] else f"results/references/{here}"
        return {"reference": f"{folder}/predictions.zip", "reference_status": f"{folder}/status.json"}

    def reference_arguments(self, w: Any, input: Any) -> list[str]:
        """Arguments of the scoring script that name the reference."""
        files = self.reference_files(w) or {"reference": self.reference_name(w)}
        return [f"--{key.replace('_', '-')}={path}" for key, path in files.items()]

    def ignored_pixels(self, w: Any) -> str:
        """What the data set's scores do with ignored pixels."""
        return str(self.config["dataset_catalogue"][w.dataset]["ignored_pixels"])

    def agreement_bound(self, w: Any) -> float:
        """Share of pixels below which the variant's agreement gets a warning."""
        return float(self.config["agreement_bounds"][self.variant_of(w)["precision"]])

    # Comparison

    def baseline_file(self, w: Any) -> str | list[str]:
        """The baseline's table; the script tells when it is missing."""
        path = self.config["baseline"]
        return str(path) if path and os.path.exists(path) else []

    def pairs(self) -> list[str]:
        """Every pair of variants of every chosen model, where they are to be timed anew."""
        section = self.config["comparison"]
        folder = f"results/pairs/{self.config['dataset']}"
        chosen = product(self.config["models"], section["pairs"] if section["alternate"] else [])
        return [f"{folder}/{model}/{a}--{b}.json" for model, (a, b) in chosen]

    def code_of_pair(self) -> dict[str, Any]:
        """Inputs of the rule that times a pair: its script, the one that it starts, and the modules of both engines."""

        def modules(w: Any) -> list[str]:
            files = [f"engines/{self.variant_of(side)['engine']}.py" for side in self._sides(w)]
            scripts = ("time_pair.py", "infer.py")
            return sorted({path for file, script in product(files, scripts) for path in modules_of(script, file)})

        return {**self.code("time_pair.py"), "round": "workflow_scripts/infer.py", "modules": modules}

    @staticmethod
    def _sides(w: Any) -> list[Any]:
        """Wildcards of a pair as those of its two variants."""
        return [SimpleNamespace(variant=name) for name in (w.variant, w.other)]

    def pair_json(self, w: Any) -> str:
        """Both variants of a pair: what they are, their options, their interpreters and fingerprints."""
        return json.dumps(
            [
                {
                    "variant": json.loads(self.variant_json(side)),
                    "options": self.variant_of(side)["run"],
                    "python": self.interpreter(side),
                    "fingerprint": self.fingerprint_of(side),
                }
                for side in self._sides(w)
            ]
        )

    def pair_timing(self, w: Any) -> str:
        """How a pair is timed: as a round is, in so many processes and blocks."""
        section = {key: self.config["comparison"][key] for key in ("rounds", "blocks", "round_s")}
        return json.dumps({**self.config["timing"], **section})

    def loadgen_timing(self, w: Any) -> str:
        """How LoadGen's run is timed, and the version that is installed: its installation runs the job anew."""
        queries, version = self.config["comparison"]["loadgen_queries"], package_version("mlcommons-loadgen")
        return json.dumps({**self.config["timing"], "queries": queries, "loadgen": version})

    def comparison(self, w: Any) -> str:
        """What is compared, and by which bounds: nothing that a measurement depends on."""
        section = {key: self.config["comparison"][key] for key in ("margin", "max_drop", "pairs", "alternate")}
        bounds = self.config["agreement_bounds"]
        return json.dumps({**section, "baseline": self.config["baseline"], "agreement_bounds": bounds})

    def tables(self) -> list[str]:
        """The tables to merge that are there; the script tells which are missing."""
        return [path for path in self.config["tables"] if os.path.exists(path)]

    # What a job asks for

    def gpus(self, w: Any) -> int:
        """GPUs of a timed job. On one machine this is the timing slot, which jobs of CPU engines take too."""
        return 1 if not self.cluster or "gpu" in self._devices(w) else 0

    def alone(self, w: Any) -> str:
        """Options for Slurm that give a timed job a node to itself, where `exclusive_nodes` says so."""
        wanted = self.config["exclusive_nodes"]
        return "--exclusive" if self.cluster and wanted in ("all", *self._devices(w)) else ""

    def _devices(self, w: Any) -> set[str]:
        """Where the job's variant runs; of a pair, both."""
        names = filter(None, (w.variant, w.get("other")))
        return {base.load(self.config["variant_catalogue"][name]["engine"]).device for name in names}

    def memory_mb(self, w: Any, attempt: int) -> int:
        """MiB of a job that runs or builds the model."""
        size = self.model_of(w)["input"]
        return resources.memory_mb(size["height"], size["width"], attempt)

    def run_minutes(self, w: Any, input: Any, attempt: int) -> int:
        """Minutes of a job that runs the images of a round, or of a shard of round 1."""
        size, images = self.model_of(w)["input"], resources.image_count(input.index)
        if w.get("round", "1") == "1":
            images = -(-images // (self.config["shards"] if w.get("shard") else 1))
        else:
            images = min(images, self.config["timing"]["images_per_round"])
        return resources.runtime_minutes(size["height"], size["width"], images, self.engine_of(w).device, attempt)

    # The chosen rows

    def rows(self, pattern: str) -> list[str]:
        """`pattern` for every chosen model and variant, and every round and its shards where it has them."""
        rounds = range(1, self.config["rounds"] + 1) if "{round}" in pattern else [0]
        chosen = product([self.config["dataset"]], self.config["models"], self.config["variants"], rounds)
        return [
            pattern.format(dataset=dataset, model=model, variant=variant, round=number, shard=shard)
            for dataset, model, variant, number in chosen
            for shard in (shards.of_round(self.config["shards"], number) if "{shard}" in pattern else [""])
        ]

    def first_round(self, file: str) -> list[str]:
        """`file` of every shard of a row's round 1; a pattern."""
        folder = "results/runs/{dataset}/{model}/{variant}/1"
        return [f"{folder}/{shard}/{file}" for shard in shards.names(self.config["shards"])]

    def shard_scores(self) -> list[str]:
        """The score of every shard of a row; a pattern."""
        return [
            f"results/scores/{{dataset}}/{{model}}/{{variant}}/{n}.json" for n in shards.names(self.config["shards"])
        ]

    def pictures(self) -> list[str]:
        """Pictures of every chosen model's first variant."""
        chosen = product(self.config["models"], self.config["variants"][:1])
        return [f"results/pictures/{self.config['dataset']}/{model}/{variant}.png" for model, variant in chosen]

    def selection(self, w: Any) -> str:
        """What the table shows: data set, rounds, the models' titles and the variants' entries by name.

        A function of wildcards that it does not need: in a plain string Snakemake would look for wildcards.
        """
        chosen = {key: self.config[key] for key in ("dataset", "rounds", "shards")}
        chosen["models"] = {
            name: self.config["model_catalogue"][name]["title"] or name for name in self.config["models"]
        }
        variants = {name: self.config["variant_catalogue"][name] for name in self.config["variants"]}
        return json.dumps({**chosen, "variants": variants})

    # The report

    def report_templates(self) -> list[str]:
        """What the report is made of beside its modules."""
        return sorted(str(path) for path in TEMPLATES.iterdir())

    def report_settings(self, w: Any) -> str:
        """What the report says of the configuration, and the command that makes the same again; as for `selection`.

        Where things lie on this machine stays out: a report is made to be shared.
        """
        chosen = {key: self.config[key] for key in SHOWN}
        dataset = {key: value for key, value in self.config["dataset_catalogue"][self.config["dataset"]].items()}
        chosen["dataset_entry"] = {key: value for key, value in dataset.items() if key != "root"}
        chosen["variant_entries"] = {name: self.config["variant_catalogue"][name] for name in self.config["variants"]}
        overlays = "".join(f" {shlex.quote(path)}" for path in self.overlays)
        command = f"snakemake{' --configfile' if overlays else ''}{overlays}"
        if self.config["dataset_root"]:
            command += " --config dataset_root=PATH"
        return json.dumps({"configuration": chosen, "command": command})
