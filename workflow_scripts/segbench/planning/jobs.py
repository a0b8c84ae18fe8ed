"""Look-ups for jobs of any rule: code, interpreter and resources."""

from __future__ import annotations

from typing import Any

from segbench.engines import base
from segbench.planning import resources
from segbench.planning.code import modules_of
from segbench.planning.fingerprint import fingerprint
from segbench.planning.lookup import Lookup

EXPORTERS = {"huggingface": ".venv-torch"}  # kinds of models that are exported in an environment of their own


class Jobs(Lookup):
    """`cluster` says whether jobs are submitted to other machines."""

    def __init__(self, config: dict[str, Any], cluster: bool = False) -> None:
        super().__init__(config)
        self.cluster = cluster

    # Code and environment of a job

    def code(self, script: str, engine: bool = False, calibrator: bool = False) -> dict[str, Any]:
        """Return the inputs `script` and `modules`: the rule's script and its imports. Of engines and calibrators,
        only the one that the wildcards name counts.
        """
        modules: Any = modules_of(script)
        if engine:
            modules = lambda w: modules_of(script, f"engines/{self.variant(w)['engine']}.py")  # noqa: E731
        if calibrator:
            modules = lambda w: modules_of(script, f"calibration/{self.calibrator(w)['library']}.py")  # noqa: E731
        return {"script": f"workflow_scripts/{script}", "modules": modules}

    def interpreter(self, w: Any) -> str:
        """Return the Python that the variant's engine is installed in."""
        return self.interpreter_of(self.variant(w)["engine"])

    def interpreter_of(self, engine: str) -> str:
        """Return the Python that `engine` is installed in, or that exports models of kind `engine` (see EXPORTERS)."""
        return self._own_interpreter(engine) or "python"

    def _own_interpreter(self, engine: str) -> str | None:
        """Return the configured Python, else that of the engine's own environment where it exists. None: Snakemake's
        own.
        """
        configured: str | None = self.config["interpreters"].get(engine)
        own = base.interpreter_in(EXPORTERS[engine]) if engine in EXPORTERS else base.own_interpreter(engine)
        return configured or own

    def environment(self, w: Any) -> str:
        """Return the pinned environment of the variant's engine family, for `--sdm conda`."""
        return f"../{self.engine(w).environment}"

    def fingerprint(self, w: Any) -> str:
        """Return the fingerprint of the variant's engine (see segbench/planning/fingerprint.py)."""
        return self.fingerprint_of(self.variant(w)["engine"])

    def fingerprint_of(self, engine: str) -> str:
        """Return the fingerprint of `engine`, for rules that belong to one engine."""
        return self.config["fingerprint"] or fingerprint(engine, self._own_interpreter(engine))

    # Resources of a job

    def gpus(self, w: Any) -> int:
        """Return the GPUs of a timed job. On one machine this is the timing slot, which jobs of CPU engines take
        too.
        """
        return 1 if not self.cluster or "gpu" in self._devices(w) else 0

    def slurm_options(self, w: Any) -> str:
        """Return the options for Slurm that give a timed job a whole node, where `exclusive_nodes` says so."""
        wanted = self.config["exclusive_nodes"]
        return "--exclusive" if self.cluster and wanted in ("all", *self._devices(w)) else ""

    def _devices(self, w: Any) -> set[str]:
        """Return the devices of the job's variant, or of both variants of a pair."""
        names = filter(None, (w.variant, w.get("other")))
        return {base.load(self.config["variant_catalogue"][name]["engine"]).device for name in names}

    def memory_mb(self, w: Any, attempt: int) -> int:
        """Return the MiB of a job that runs or builds the model, with as many images as are under way at once."""
        size, variant = self.model(w)["input"], self.variant(w) if w.get("variant") else {}
        images = variant.get("batch", 1) * variant.get("streams", 1)
        return resources.memory_mb(images * size["height"], size["width"], attempt)

    def threads(self, w: Any) -> int:
        """Return the threads of the variant's engine; 0: the machine's."""
        return int(self.variant(w).get("threads") or self.config["threads"] or 0)

    def run_minutes(self, w: Any, input: Any, attempt: int) -> int:
        """Return the minutes of a job that runs all images, those of a shard, or those of a round."""
        size, images, timing = self.model(w)["input"], resources.image_count(input.index), self.config["timing"]
        if w.get("round"):
            images = min(images, timing["images_per_round"])
        elif w.get("shard"):
            images = -(-images // self.config["shards"])
        return resources.runtime_minutes(size["height"], size["width"], images, self.engine(w).device, attempt)
