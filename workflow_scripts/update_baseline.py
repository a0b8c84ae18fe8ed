"""Keep a run as a baseline: a folder with its table, and with the engines that a later gate times again."""

from __future__ import annotations

import argparse
import datetime
import json
import shutil
from pathlib import Path
from typing import Any

from segbench.errors import InputError
from segbench.files import SNAKEMAKES_OWN, atomic, check_manifest, read_json, size_of, write_json
from segbench.machine.environment import git_commit
from segbench.planning.baselines import RECORD, KeptRow, engine_of, model_of, table_of
from segbench.process.lifetime import command
from segbench.table.comparison import key_of
from segbench.table.csv import read_table


def folder_of(baselines: list[str]) -> Path:
    """Return the folder to write. Raises InputError where the configuration names none, or what is no baseline."""
    if len(baselines) != 1 or baselines[0].endswith(".csv"):
        given = json.dumps(baselines)
        raise InputError(
            f"baseline: {given} is not one folder; name the one to write: snakemake update_baseline --config"
            " baseline=FOLDER"
        )
    folder = Path(baselines[0])
    if folder.exists() and not (folder / RECORD).exists():
        raise InputError(f"baseline: {folder} is there and is no baseline (no {RECORD}); name another folder")
    return folder


def keep(folder: Path, table: Path, results: Path, rows: list[KeptRow]) -> list[KeptRow]:
    """Write the baseline, in the place of an older one. Return the rows whose engines were kept: those that ran."""
    ran = {key_of(row) for row in read_table(table) if row["status"] == "ok"}
    kept = [row for row in rows if (row["dataset"], row["model"], row["variant"]["name"]) in ran]
    with atomic(folder) as temporary:
        temporary.mkdir()
        shutil.copy(table, table_of(temporary))
        for row in kept:
            _keep_row((row["dataset"], row["model"], row["variant"]["name"]), results, temporary)
        written = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        # Without a seal: it would name the temporary folder.
        write_json(temporary / RECORD, {"written": written, "git_commit": git_commit(), "rows": kept})
    return kept


def _keep_row(key: tuple[str, str, str], results: Path, folder: Path) -> None:
    """Copy one row's engine with its status, and its model.json. The copies are private: a later build changes none."""
    source, target = engine_of(results, key), engine_of(folder, key)
    check_manifest(source / "engine", read_json(source / "status.json")["manifest"])
    shutil.copytree(source / "engine", target / "engine", ignore=shutil.ignore_patterns(SNAKEMAKES_OWN))
    shutil.copy(source / "status.json", target)
    model_of(folder, key).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(model_of(results, key), model_of(folder, key))


@command
def main() -> None:
    """Parse the command line and write the baseline."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path, required=True, help="table.csv of the run")
    parser.add_argument("--results", type=Path, required=True, help="results folder of the run")
    parser.add_argument("--settings", type=json.loads, required=True, help="JSON: baselines (paths), rows to keep")
    args = parser.parse_args()
    settings: dict[str, Any] = args.settings
    folder = folder_of(settings["baselines"])
    kept = keep(folder, args.table, args.results, settings["rows"])
    print(f"baseline written: {folder}: {len(kept)} engines, {size_of(folder) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
