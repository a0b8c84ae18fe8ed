"""Energy by the counters of a folder that is laid out as Linux's powercap."""

import json
import os

import pytest
from segbench.machine import powercap
from segbench.planning.check import read_config
from segbench.planning.rules import Planning
from segbench.table.rows import read_rows
from segbench.timing.energy import Meter, of_image
from segbench.timing.rounds import Round
from test_ahead import COUNT, TIMING, opened_on, rows  # noqa: F401  a fixture
from test_blocks import Wildcards
from test_config import CATALOGUES, merged
from test_rows import SELECTION, results  # noqa: F401  a fixture

FULL = 262_143_328_850


def zone(root, folder, name, energy_uj, range_uj=FULL):
    place = root / folder
    place.mkdir(parents=True)
    for file, value in (("name", name), ("energy_uj", energy_uj), ("max_energy_range_uj", range_uj)):
        (place / file).write_text(f"{value}\n")
    return place


@pytest.fixture
def two_packages(tmp_path):
    """Two packages with their cores, memory and the whole platform, which holds the others."""
    zone(tmp_path, "intel-rapl:0", "package-0", FULL - 1_000_000)
    zone(tmp_path, "intel-rapl:1", "package-1", 5_000_000)
    zone(tmp_path, "intel-rapl:0:0", "core", 7)
    zone(tmp_path, "intel-rapl:0:1", "dram", 2_000_000, 65_532_610_987)
    zone(tmp_path, "intel-rapl:2", "psys", 9)
    (tmp_path / "intel-rapl").mkdir()
    return tmp_path


def use(folder, **energy_uj):
    for name, value in energy_uj.items():
        (place,) = (one for one in folder.glob("*:*") if (one / "name").read_text().strip() == name.replace("_", "-"))
        (place / "energy_uj").write_text(str(value))


def test_parts_that_hold_no_other_add_up_and_a_counter_may_begin_again(two_packages):
    parts, reason = powercap.parts(two_packages)
    assert ([part.name for part in parts], reason) == (["package-0", "dram", "package-1"], "")
    before = powercap.read(parts)
    use(two_packages, package_0=2_000_000 - 1, package_1=6_500_000, dram=2_250_000)
    assert powercap.joules(parts, before, powercap.read(parts)) == pytest.approx(1 + 2 + 1.5 + 0.25)


def test_meter_names_its_parts_and_counts_from_its_start(two_packages):
    meter = Meter(two_packages, 0.001)
    use(two_packages, package_1=90_000_000)
    meter.start()
    use(two_packages, package_1=100_000_000)
    found = meter.stop(4.0, 5)
    assert found["parts"] == ["package-0", "dram", "package-1"] and found["joules"] == pytest.approx(10)
    assert found["idle_w"] == 0
    assert of_image({**found, "idle_w": 0.5}) == pytest.approx((10 - 0.5 * 4) / 5)


def test_machine_without_counters_has_a_reason_and_no_energy(tmp_path):
    found = Meter(tmp_path, 60.0).stop(1.0, 1)  # and does not wait
    assert found == {"reason": f"{tmp_path} has no counter of a package (no RAPL here, or a virtual machine)"}
    assert of_image(found) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every file")
def test_counter_that_may_not_be_read_says_what_to_do(two_packages):
    (two_packages / "intel-rapl:0" / "energy_uj").chmod(0)
    parts, reason = powercap.parts(two_packages)
    assert parts == [] and "as root, chmod a+r it" in reason


def test_damaged_counter_is_a_reason(two_packages):
    (two_packages / "intel-rapl:1" / "energy_uj").write_text("many")
    parts, reason = powercap.parts(two_packages)
    assert parts == [] and "intel-rapl:1: not as powercap lays it out" in reason


def test_row_has_the_median_energy_of_its_rounds_and_the_cost_of_its_time(results):  # noqa: F811
    from segbench.files import read_json, write_json

    for number, joules in ((1, 12.0), (2, 18.0)):
        path = results / f"runs/made/small/b/{number}/0/status.json"
        energy = {"reason": "", "parts": ["package-0"], "joules": joules, "idle_w": 1.0, "wall_s": 6.0, "images": 3}
        write_json(path, {**read_json(path), "energy": energy})
    a, b = read_rows(results, {**SELECTION, "price_per_hour": 1.8})
    assert (b["joules_per_image"], b["energy_parts"]) == (pytest.approx((2 + 4) / 2), "package-0")
    assert (a["joules_per_image"], a["energy_parts"]) == (None, None)
    assert a["cost_per_million"] == pytest.approx(1.8 / 3600 * a["time_s"] * 1e6)
    assert read_rows(results, SELECTION)[0]["cost_per_million"] is None


def test_round_records_the_energy_of_its_timed_images(two_packages, rows, tmp_path):  # noqa: F811
    files = {name: tmp_path / f"{name}.round" for name in ("latencies", "replaced", "predictions")}
    request = {**files, "timing": TIMING, "round": 1}
    found = Round(opened_on("cpu"), rows, request, Meter(two_packages, 0.001)).run()["energy"]
    assert (found["images"], found["joules"], found["reason"]) == (COUNT, 0, "")
    assert found["wall_s"] > 0
    assert "energy" not in Round(opened_on("cpu"), rows, request).run()


def test_rounds_are_asked_for_energy_only_where_it_is_measured():
    def arguments(**energy):
        planning = Planning(read_config({**merged(CATALOGUES), "energy": energy}, CATALOGUES))
        return planning.inference.timed(Wildcards(model="unet_demo", variant="openvino-fp32", round="1"))

    assert not any(one.startswith("--energy") for one in arguments())
    (asked,) = (one for one in arguments(measure=True, idle_s=3) if one.startswith("--energy="))
    assert json.loads(asked.partition("=")[2]) == {"measure": True, "idle_s": 3, "powercap": "/sys/class/powercap"}
