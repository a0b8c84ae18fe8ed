"""The commands that produce the clock's figures: they explain themselves, and their arithmetic is right."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from validation.clock.interval_coverage import Processes, recorded, simulated
from validation.clock.overhead import clock_overhead_us
from validation.clock.planted_load import shift
from validation.clock.same_twice import spread

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "validation").glob("*/*.py"))


@pytest.mark.parametrize(
    "script", [path for path in SCRIPTS if path.stem != "other_packages"], ids=lambda path: path.name
)
def test_validation_explains_itself(script):
    module = ".".join(script.relative_to(ROOT).with_suffix("").parts)
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


def rounds(between: float, within: float, count: int = 40, images: int = 50) -> list[list[float]]:
    """Made latencies of `count` processes."""
    random = np.random.default_rng(3)
    return [list(np.exp(effect + random.normal(0, within, images))) for effect in random.normal(0, between, count)]


def test_spread_between_processes_is_found_apart_from_that_of_images():
    assert Processes(rounds(0.03, 0.02), 50, seed=0).between == pytest.approx(0.03, rel=0.3)
    assert Processes(rounds(0.0, 0.02), 50, seed=0).between < 0.003


@pytest.mark.parametrize("count", [3, 6])
def test_intervals_cover_what_they_are_made_for(count):
    made = rounds(0.03, 0.02)
    assert simulated(made, 50, count, trials=500) > 0.92
    assert recorded([float(np.median(times)) for times in made], count, trials=500) > 0.9


def test_too_few_recorded_rounds_tell_nothing():
    assert recorded([1.0] * 5, 3, trials=10) is None


def test_one_disturbed_round_of_three_moves_the_median_to_a_clean_one():
    assert shift([1.0, 1.01, 1.02], 9.0, 3) == pytest.approx(1.02 / 1.01 - 1)
    assert shift([1.0] * 6, 9.0, 6) == 0


def test_spread_is_numpys():
    ratios = [1 + 0.001 * ((7 * i) % 20) for i in range(20)]
    assert spread(ratios) == pytest.approx(tuple(np.quantile(ratios, [0.05, 0.95])))


def test_clock_around_nothing_costs_something():
    assert clock_overhead_us(10) > 0
