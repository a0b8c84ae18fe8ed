"""The folder of a baseline: what is kept in it, and what is never overwritten."""

import pytest
from segbench.errors import InputError
from segbench.files import manifest_of, write_record
from segbench.planning.baselines import RECORD, engine_of, kept_rows, model_of, table_of
from update_baseline import folder_of, keep

HEADER = "dataset,model,variant,status,reason,precision,miou,pixel_agreement,time_s,hardware_id\n"


def make_results(folder, *variants):
    """Results of a model `m`, with an engine of each variant. Returns the rows to keep."""
    for variant in variants:
        place = engine_of(folder, ("d", "m", variant))
        (place / "engine").mkdir(parents=True)
        (place / "engine" / "net.bin").write_text(variant)
        write_record(place / "status.json", {"status": "ok", "manifest": manifest_of(place / "engine")})
    model = model_of(folder, ("d", "m", ""))
    model.parent.mkdir(parents=True, exist_ok=True)
    write_record(model, {"model": "m"})
    return [{"dataset": "d", "model": "m", "variant": {"name": v}, "options": {}, "code": v} for v in variants]


def make_table(path, **statuses):
    path.write_text(HEADER + "".join(f"d,m,{name},{status},,fp32,,,,here\n" for name, status in statuses.items()))
    return path


@pytest.fixture
def run(tmp_path):
    """A run of two variants, of which one failed: its results, its table, its rows."""
    rows = make_results(tmp_path / "results", "a", "b")
    return tmp_path / "results", make_table(tmp_path / "table.csv", a="ok", b="failed"), rows


def test_engines_of_rows_that_ran_are_kept_and_are_copies(run, tmp_path):
    results, table, rows = run
    base = tmp_path / "base"
    assert [row["variant"]["name"] for row in keep(base, table, results, rows)] == ["a"]
    (engine_of(results, ("d", "m", "a")) / "engine" / "net.bin").write_text("changed later")
    assert (engine_of(base, ("d", "m", "a")) / "engine" / "net.bin").read_text() == "a"
    assert table_of(base).read_text() == table.read_text()
    ((key, kept),) = kept_rows(["elsewhere.csv", str(base)]).items()
    assert (key, kept.folder, kept.row["code"]) == (("d", "m", "a"), base, "a")


def test_an_older_baseline_is_replaced_whole(run, tmp_path):
    results, table, rows = run
    base = tmp_path / "base"
    keep(base, table, results, rows)
    keep(base, make_table(tmp_path / "later.csv", a="failed", b="ok"), results, rows)
    assert [key[2] for key in kept_rows([str(base)])] == ["b"]
    assert not engine_of(base, ("d", "m", "a")).exists()


def test_a_damaged_engine_is_not_kept(run, tmp_path):
    results, table, rows = run
    (engine_of(results, ("d", "m", "a")) / "engine" / "net.bin").write_text("damaged")
    with pytest.raises(InputError, match=r"net\.bin: damaged"):
        keep(tmp_path / "base", table, results, rows)
    assert not (tmp_path / "base").exists()


def test_the_first_baseline_that_has_an_engine_counts(run, tmp_path):
    results, table, rows = run
    for name in ("one", "two"):
        keep(tmp_path / name, table, results, rows)
    kept = kept_rows([str(tmp_path / "one"), str(tmp_path / "two")])
    assert [one.folder.name for one in kept.values()] == ["one"]


def test_what_is_no_baseline_is_never_overwritten(run, tmp_path):
    results, _, _ = run
    with pytest.raises(InputError, match=f"is there and is no baseline \\(no {RECORD}\\); name another folder"):
        folder_of([str(results)])
    for given in ([], ["a", "b"], ["old.csv"]):
        with pytest.raises(InputError, match="is not one folder; name the one to write: snakemake update_baseline"):
            folder_of(given)
    assert folder_of([str(tmp_path / "new")]) == tmp_path / "new"
