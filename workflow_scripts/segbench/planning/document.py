"""Make config/README.md and config/schemas/config.schema.json from the configuration's types (`make docs`)."""

from __future__ import annotations

import inspect
import json
import typing
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from segbench.calibration import base as calibration
from segbench.config import schema
from segbench.datasets import base as datasets
from segbench.engines import base

INTRODUCTION = """# Configuration

`config/config.yaml` is the default run. Another run is an overlay: `snakemake --configfile config/NAME.yaml`, and
single keys are set by `--config key=value` (`--config dataset_root=/data/cityscapes`). Lists and scalars replace what
was there, mappings merge. Models, variants and data sets are entries of catalogues (`config/models.yaml`,
`config/variants.yaml`, `config/datasets.yaml`); an overlay may add entries of its own. Editors can check a file against
`config/schemas/config.schema.json`.

A model's name fixes its weights *and* its input size: its results lie under that name, so an entry with other weights
wants another name. A model of your own that is called like one of another file is refused by its name.

This page is made from the types in `workflow_scripts/segbench/config/schema.py`; a test keeps it current.
"""
SECTIONS: dict[str, type[BaseModel]] = {
    "Top level": schema.Config,
    "sweep": schema.Sweep,
    "timing": schema.Timing,
    "timing.warm_up": schema.WarmUp,
    "energy": schema.Energy,
    "comparison": schema.Comparison,
    "limits": schema.Limits,
    "calibration": schema.Calibration,
    "mixed_precision": schema.MixedPrecision,
    "training": schema.Training,
    "training.quantization": schema.FineTuning,
    "model_catalogue.NAME": schema.Model,
    "model_catalogue.NAME.weights": schema.Weights,
    "model_catalogue.NAME.input": schema.InputSize,
    "model_catalogue.NAME.preprocessing": schema.Preprocessing,
    "model_catalogue.NAME.preprocessing.resize": schema.Resize,
    "model_catalogue.NAME.preprocessing.window": schema.Window,
    "variant_catalogue.NAME": schema.Variant,
    "calibrator_catalogue.NAME": schema.Calibrator,
    "dataset_catalogue.NAME": schema.Dataset,
    "dataset_catalogue.NAME.splits.SPLIT": schema.FolderSplit,
    "dataset_catalogue.NAME.generate": schema.Generate,
    "dataset_catalogue.NAME.objects": schema.CountedObjects,
}


def readme() -> str:
    """Return the text of config/README.md."""
    parts = [INTRODUCTION]
    for title, section in SECTIONS.items():
        rows = [
            f"| `{key}` | {_type(field)} | {_default(field)} | {field.description} |" for key, field in _fields(section)
        ]
        about = inspect.cleandoc(section.__doc__ or "")
        header = "| key | type | default | meaning |\n|---|---|---|---|\n"
        parts.append(f"## {title}\n\n{about}\n\n{header}" + "\n".join(rows))
    parts += [_plugins(), _engine_options()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def json_schema() -> str:
    """Return the text of config/schemas/config.schema.json. It requires no key, since an overlay sets what it
    changes.
    """
    whole = schema.Config.model_json_schema()
    whole.pop("required", None)
    return json.dumps(whole, indent=1) + "\n"


def _fields(section: type[BaseModel]) -> list[tuple[str, FieldInfo]]:
    return list(section.model_fields.items())


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "its defaults"
    if field.default is PydanticUndefined:
        return "(needed)"
    default = field.default
    return f"`{json.dumps(default.model_dump() if isinstance(default, BaseModel) else default)}`"


def _type(field: FieldInfo) -> str:
    return _words(_as_given(field.annotation, field.metadata))


def _as_given(annotation: Any, metadata: Iterable[Any]) -> Any:
    """Return the type that a person may write, where a validator makes the field's own type of it."""
    given = [one.json_schema_input_type for one in metadata if isinstance(one, BeforeValidator)]
    return next((kind for kind in given if kind is not PydanticUndefined), annotation)


def _words(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in arguments)
    if origin is typing.Annotated:
        return _words(arguments[0])
    if origin is list:
        return f"list of {_words(arguments[0])}"
    if origin is dict:
        return "mapping"
    if arguments:
        return " or ".join(_words(argument) for argument in arguments)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    names = {int: "whole number", float: "number", str: "text", bool: "true/false", type(None): "null"}
    return names.get(annotation, "any")


def _plugins() -> str:
    """Tables of the engines, the calibrators and the layouts that there are: the files of their folders."""
    engines = {name: base.load(name) for name in base.names()}
    calibrators = {name: calibration.load(name) for name in calibration.names()}
    layouts = {name: datasets.load(name) for name in datasets.names()}
    engine_rows = [
        [
            f"`{name}`",
            it.device,
            ", ".join(it.precisions),
            ", ".join(f"`{package}`" for package in it.packages),
            f"`{it.environment}`",
            f"`{it.install}`",
        ]
        for name, it in engines.items()
    ]
    calibrator_rows = [
        [
            f"`{name}`",
            "a table" if it.leaves_table else "a quantised model" if it.folder == calibration.QUANTIZED else "tables",
            ", ".join(f"`{n}`" for n, engine in engines.items() if calibration.fits(name, engine.calibrators)),
        ]
        for name, it in calibrators.items()
    ]
    return "\n\n".join(
        [
            "## Engines",
            _table(["engine", "device", "precisions", "packages", "pinned in", "installed by"], engine_rows),
            "## Calibrators",
            _table(["library", "what it makes", "engines that take it"], calibrator_rows),
            "## Data set layouts",
            _table(["kind", "files"], [[f"`{name}`", it.about] for name, it in layouts.items()]),
        ]
    )


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _engine_options() -> str:
    lines = ["## Options of the engines", "`variant_catalogue.NAME.build` and `.run`, by engine:", ""]
    for name in base.names():
        engine = base.load(name)
        lines.append(f"### {name}\n")
        for key, kind in (("build", engine.build_options), ("run", engine.run_options)):
            defaults = ", ".join(f"`{k}: {json.dumps(v)}`" for k, v in vars(kind()).items())
            lines.append(
                f"- `{key}`: {' '.join((kind.__doc__ or '').split())}" + (f" Defaults: {defaults}." if defaults else "")
            )
        lines.append("")
    return "\n".join(lines)
