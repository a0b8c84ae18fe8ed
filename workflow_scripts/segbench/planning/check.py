"""Check a merged configuration and report faults: file, key, value, what is allowed, the nearest known key."""

from __future__ import annotations

import difflib
import shutil
import typing
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from segbench.calibration import base as calibration
from segbench.config.options import parse_options
from segbench.config.schema import Config, Variant
from segbench.config.sweep import Fault, expand
from segbench.datasets import base as datasets
from segbench.engines import base
from segbench.errors import InputError
from segbench.planning.jobs import EXPORTERS

MAX_VALUES = 100_000  # of a whole configuration
MAX_SHOWN = 200  # characters of a wrong value
Location = tuple[str | int, ...]
_MORE_ROUNDS = "timing.target says how narrow a row's interval shall be: rows that are wider get more rounds"
REPLACED = {"timing.half_width": _MORE_ROUNDS, "timing.round_s": _MORE_ROUNDS}  # keys of older versions


def read_config(merged: dict[str, Any], files: list[str], command_line: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the configuration with all defaults filled in, as plain data.

    `merged` is what Snakemake merged from `files` (in order) and the `command_line`. Raises InputError with all faults,
    one per line.
    """
    _refuse_bomb(merged)
    sources = Sources(files, command_line or {})
    if faults := _models_of_one_name(merged, sources):
        raise InputError("\n".join(faults))
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        found = [fault for fault in error.errors() if not _is_other_member(fault)]
        raise InputError("\n".join(dict.fromkeys(_describe(fault, merged, sources) for fault in found))) from None
    faults = _unmade_sweep(config, sources)
    faults += _unknown_plugins(config, sources)
    faults += [] if faults else [*_unknown_names(config, sources), *_bad_variants(config, sources)]
    faults += [] if faults else _no_training_split(config, sources)
    if faults:
        raise InputError("\n".join(faults))
    return config.model_dump(mode="json")


def _refuse_bomb(merged: dict[str, Any]) -> None:
    """Raise InputError where aliases of aliases (`*a`) make a few lines stand for more than MAX_VALUES values."""
    count, todo = 0, [("configuration", merged)]
    while todo:
        key, value = todo.pop()
        inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for name, one in inside:
            count += 1
            if count > MAX_VALUES:
                raise InputError(f"{key}: more than {MAX_VALUES} values; YAML aliases (*name) multiply them")
            todo.append((str(name) if value is merged else key, one))


class Sources:
    """Finds the file that a key was last set in."""

    def __init__(self, files: list[str], command_line: dict[str, Any]) -> None:
        self._command_line = command_line
        self._contents = [(path, _plain_yaml(path)) for path in files]

    def of(self, location: Location) -> str:
        """Return `--config`, or the last file that has the key or its nearest parent."""
        if location and location[0] in self._command_line:
            return "--config"
        for length in range(len(location), 0, -1):
            for path, content in reversed(self._contents):
                if _has(content, location[:length]):
                    return path
        return "configuration"

    def all_of(self, location: Location) -> list[str]:
        """Return all files that have the key, in their order."""
        return [path for path, content in dict(self._contents).items() if _has(content, location)]


def _models_of_one_name(merged: dict[str, Any], sources: Sources) -> list[str]:
    """Return a fault for each model that two files describe: their entries were merged into one that is neither.

    A file that changes single keys of an entry gives no `kind`.
    """
    faults = []
    catalogue = merged.get("model_catalogue")
    for name in catalogue if isinstance(catalogue, dict) else ():
        files = sources.all_of(("model_catalogue", name, "kind"))
        if len(files) > 1:
            faults.append(
                f"{files[-1]}: model_catalogue.{name}: {files[0]} has a model of this name; give yours another one, or"
                " leave `kind` out to change keys of that model"
            )
    return faults


def _plain_yaml(path: str) -> Any:
    """Read a YAML file and refuse tags. Snakemake, which has read it before, lets some tags name Python objects."""
    try:
        return yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no plain YAML ({' '.join(str(error).split())})") from None


def _has(content: Any, location: Location) -> bool:
    for key in location:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return False
    return True


def _key(location: Location) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _is_other_member(fault: Any) -> bool:
    """Return whether a fault says only that a mapping is not the word of its union. The mapping's faults are
    reported anyway.
    """
    return fault["type"] == "literal_error" and isinstance(fault["input"], dict)


def _describe(fault: Any, merged: dict[str, Any], sources: Sources) -> str:
    location = _without_union_members(fault["loc"], merged)
    where = f"{sources.of(location)}: {_key(location)}"
    kind, given = fault["type"], fault["input"]
    if kind == "extra_forbidden" and _key(location) in REPLACED:
        return f"{where}: is no longer a key; {REPLACED[_key(location)]}"
    if kind == "extra_forbidden":
        return f"{where}: unknown key; {_nearest(str(location[-1]), _known_keys(location[:-1]))}"
    if kind == "missing":
        return f"{where}: missing"
    message = fault["msg"].removeprefix("Value error, ")
    if isinstance(given, (dict, list)) and kind == "value_error":
        return f"{where}: {message}"
    return f"{where}: {_shown(given)}: {message[0].lower()}{message[1:]}"


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"


def _without_union_members(location: Location, merged: dict[str, Any]) -> Location:
    """Drop the parts that pydantic adds for a union's members (`Weights`, `literal['random']`, `[key]`)."""
    kept: list[str | int] = []
    content: Any = merged
    for position, part in enumerate(location):
        last = position == len(location) - 1
        inside = (isinstance(content, dict) and part in content) or (
            isinstance(content, list) and isinstance(part, int)
        )
        if inside:
            content = content[part]  # type: ignore[index]
            kept.append(part)
        elif last and isinstance(content, dict) and part != "[key]" and str(part) in _known_keys(tuple(kept)):
            kept.append(part)  # the key is missing
    return tuple(kept)


def _known_keys(location: Location) -> list[str]:
    """Return the keys of the section at `location`, found by walking the schema."""
    section: Any = Config
    for part in location:
        if isinstance(section, type) and issubclass(section, BaseModel):
            field = section.model_fields.get(str(part))
            section = field.annotation if field else None
        elif typing.get_origin(section) is dict:
            section = typing.get_args(section)[1]
        if section is None:
            return []
        members = [m for m in typing.get_args(section) if isinstance(m, type) and issubclass(m, BaseModel)]
        if members and typing.get_origin(section) is not dict:
            section = members[0]
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, BaseModel) else []


def _nearest(word: str, known: list[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"


def _unmade_sweep(config: Config, sources: Sources) -> list[str]:
    """Make the rows of the sweep. Return a fault where they cannot be made."""
    try:
        expand(config)
    except Fault as fault:
        return [f"{sources.of(('sweep',))}: sweep: {fault}"]
    return []


def _unknown_names(config: Config, sources: Sources) -> list[str]:
    chosen: list[tuple[str, str, list[str], dict[str, Any]]] = [
        ("models", "model", config.models, config.model_catalogue),
        ("variants", "variant", config.variants, config.variant_catalogue),
        ("dataset", "data set", [config.dataset], config.dataset_catalogue),
    ]
    faults = []
    for key, word, names, catalogue in chosen:
        for number, name in enumerate(names):
            if name not in catalogue:
                location: Location = (key,) if key == "dataset" else (key, number)
                nearest = _nearest(name, list(catalogue))
                faults.append(f"{sources.of(location)}: {_key(location)}: unknown {word} {name!r}; {nearest}")
    for number, pair in enumerate(config.comparison.pairs):
        for side, name in enumerate(pair):
            if name not in config.variants:
                location = ("comparison", "pairs", number, side)
                fault = f"{sources.of(location)}: {_key(location)}: {name!r} is not among the chosen variants"
                faults.append(f"{fault}; {_nearest(name, config.variants)}")
            elif config.comparison.alternate and _is_scenario(config, name):
                location = ("comparison", "pairs", number, side)
                fault = f"{name!r} does not run one image after the other, as pairs are timed; give alternate: false"
                faults.append(f"{sources.of(location)}: {_key(location)}: {fault}")
    if config.timing.control is not None:
        faults += _unknown_control(config, sources)
    counted = config.dataset_catalogue[config.dataset].objects if config.dataset in config.dataset_catalogue else None
    for name in config.comparison.max_lost:
        if name not in (counted.classes if counted else ()):
            location = ("comparison", "max_lost", name)
            known = _nearest(name, counted.classes) if counted else "it has no objects"
            fault = f"{name!r} is not among dataset_catalogue.{config.dataset}.objects.classes; {known}"
            faults.append(f"{sources.of(location)}: {_key(location)}: {fault}")
    faults += _bad_float_models(config, sources)
    reference = config.reference
    if reference is not None and not reference.endswith(".zip") and reference not in config.variant_catalogue:
        nearest = _nearest(reference, list(config.variant_catalogue))
        faults.append(f"{sources.of(('reference',))}: reference: unknown variant {reference!r}; {nearest}")
    return faults


def _bad_float_models(config: Config, sources: Sources) -> list[str]:
    """Return a fault for each model whose float sibling is not there, or has class maps of another size or meaning."""
    faults = []
    for name, model in config.model_catalogue.items():
        if model.float_model is None:
            continue
        location: Location = ("model_catalogue", name, "float_model")
        sibling, fault = config.model_catalogue.get(model.float_model), ""
        if sibling is None:
            fault = f"unknown model {model.float_model!r}; {_nearest(model.float_model, list(config.model_catalogue))}"
        elif sibling.float_model is not None:
            fault = f"{model.float_model!r} has a float_model, too; name one of floats"
        else:
            for key in ("input", "class_map"):
                if getattr(sibling, key) != getattr(model, key):
                    fault = f"{model.float_model!r} has another {key}; name a model whose class maps can be compared"
        if fault:
            faults.append(f"{sources.of(location)}: {_key(location)}: {fault}")
    return faults


def _is_scenario(config: Config, name: str) -> bool:
    entry = config.variant_catalogue.get(name)
    return entry is not None and (entry.batch > 1 or entry.streams > 1)


def _unknown_control(config: Config, sources: Sources) -> list[str]:
    """Return a fault where the control is no MODEL/VARIANT of the catalogues."""
    model, _, variant = (config.timing.control or "").partition("/")
    where = f"{sources.of(('timing', 'control'))}: timing.control"
    for name, word, catalogue in (
        (model, "model", config.model_catalogue),
        (variant, "variant", config.variant_catalogue),
    ):
        if name not in catalogue:
            wanted = f"unknown {word} {name!r}; {_nearest(name, list(catalogue))}"
            return [f"{where}: {config.timing.control!r}: MODEL/VARIANT is wanted: {wanted}"]
    return []


def _unknown_plugins(config: Config, sources: Sources) -> list[str]:
    """Return faults for names of engines, calibrators and layouts that have no file."""
    named = [
        *((("variant_catalogue", n, "engine"), "engine", v.engine) for n, v in config.variant_catalogue.items()),
        *(
            (("calibrator_catalogue", n, "library"), "library", c.library)
            for n, c in config.calibrator_catalogue.items()
        ),
        *((("dataset_catalogue", n, "kind"), "layout", d.kind) for n, d in config.dataset_catalogue.items()),
        *((("interpreters", name), "engine", name) for name in config.interpreters if name not in EXPORTERS),
    ]
    rooms = {"engine": base, "library": calibration, "layout": datasets}
    return [
        f"{sources.of(location)}: {_key(location)}: unknown {family} {name!r}; {_nearest(name, rooms[family].names())}"
        for location, family, name in named
        if not rooms[family].exists(name)
    ]


def _bad_variants(config: Config, sources: Sources) -> list[str]:
    faults = []
    for name, variant in config.variant_catalogue.items():
        location: Location = ("variant_catalogue", name)
        engine = base.load(variant.engine)
        if fault := _calibrator_fault(config, variant, engine):
            faults.append(f"{sources.of((*location, 'calibrator'))}: {_key(location)}.calibrator: {fault}")
        elif fault := _calibration_fault(config, variant, engine):
            faults.append(f"{sources.of((*location, 'build'))}: {_key(location)}.build: {fault}")
        for key, kind in (("build", engine.build_options), ("run", engine.run_options)):
            try:
                parse_options(kind, getattr(variant, key), f"{sources.of((*location, key))}: {_key(location)}.{key}")
            except InputError as error:
                faults.append(str(error))
    for name, calibrator in config.calibrator_catalogue.items():
        location, library = ("calibrator_catalogue", name, "options"), calibration.load(calibrator.library)
        if name == calibration.OF_MODEL:
            word = "stands for models that are quantised already; give this calibrator another name"
            faults.append(f"{sources.of(location)}: {_key(location[:2])}: {name!r} {word}")
        if calibrator.fp32_layers and not library.keeps_layers:
            kept: Location = ("calibrator_catalogue", name, "fp32_layers")
            faults.append(
                f"{sources.of(kept)}: {_key(kept)}: library {calibrator.library} keeps no layers in FP32; remove it"
            )
        try:
            kind = library.options
            parse_options(kind, calibrator.options, f"{sources.of(location)}: {_key(location)}")
        except InputError as error:
            faults.append(str(error))
    for engine_name, path in config.interpreters.items():
        if shutil.which(path) is None:
            where = f"{sources.of(('interpreters', engine_name))}: interpreters.{engine_name}"
            faults.append(f"{where}: {path!r} is not there or not executable; a Python interpreter is wanted")
    return faults


def _no_training_split(config: Config, sources: Sources) -> list[str]:
    splits = config.dataset_catalogue[config.dataset].splits
    without = (None, calibration.OF_MODEL)
    calibrated = next((n for n in config.variants if config.variant_catalogue[n].calibrator not in without), None)
    if calibrated is None or splits is None or "train" in splits:
        return []
    where: Location = ("dataset_catalogue", config.dataset, "splits")
    return [f"{sources.of(where)}: {_key(where)}: has no train, which {calibrated} is calibrated with"]


def _calibration_fault(config: Config, variant: Variant, engine: base.Engine) -> str:
    """Say what keeps a variant from using its calibrator's result. Empty: nothing does, or the options are faulty."""
    if variant.calibrator in (None, calibration.OF_MODEL):
        return ""
    entry = config.calibrator_catalogue[variant.calibrator]
    try:
        built = parse_options(engine.build_options, variant.build, "")
        calibrated = parse_options(calibration.load(entry.library).options, entry.options, "")
    except InputError:
        return ""
    fault = engine.calibration_fault(built, calibrated)
    return f"calibrator {variant.calibrator!r}: {fault}" if fault else ""


def _calibrator_fault(config: Config, variant: Variant, engine: base.Engine) -> str:
    """Say what is wrong with a variant's calibrator. Empty: nothing is."""
    name, taken = variant.calibrator, engine.calibrators
    if name is None:
        if not taken or variant.precision != "int8":
            return ""
        allowed = [library for library in calibration.names() if calibration.fits(library, taken)]
        brought = f"; {calibration.OF_MODEL!r} is for models that are quantised already"
        brought = brought if calibration.OF_MODEL in taken else ""
        return f"missing: int8 on {variant.engine} needs one of library {' or '.join(allowed)}{brought}"
    if variant.precision != "int8":
        return f"{name!r}: precision {variant.precision} is not calibrated; remove the key"
    if name == calibration.OF_MODEL:
        return "" if name in taken else f"{name!r}: {variant.engine} runs no model that is quantised already"
    if name not in config.calibrator_catalogue:
        return f"unknown calibrator {name!r}; {_nearest(name, list(config.calibrator_catalogue))}"
    library = config.calibrator_catalogue[name].library
    if calibration.fits(library, taken):
        return ""
    entries = config.calibrator_catalogue.items()
    others = ", ".join(key for key, entry in entries if calibration.fits(entry.library, taken))
    return f"{name!r} is made by {library}; {variant.engine} takes {others or 'none'}"
