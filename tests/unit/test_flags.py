"""Flags of a time say which rounds, how much, the bound, and what to do."""

import pytest
from segbench.timing import flags

QUIET = {"steady": True, "contended": False, "throttled": False, "contention_share": 0.05}


def round_of(seen, **facts):
    """A round whose last stretch saw `seen`."""
    return {**QUIET, "disturbances": [seen], "repeats": 0, **facts}


def test_quiet_rounds_have_no_flag():
    assert flags.sentences([(1, round_of({"other_share": 0.04})), (2, QUIET)]) == []


@pytest.mark.parametrize(
    ("seen", "facts", "told"),
    [
        (
            {"other_share": 0.12, "other_cpu": 3},
            {"contended": True},
            "contended: other processes used 12% of CPU 3 (allowed: 5%). Stop them, or raise timing.contention_share",
        ),
        (
            {"other_share": 0.02, "steal_share": 0.0304},
            {"contended": True},
            "contended: other processes used 2% and the hypervisor took 3.04% of a CPU (allowed: 5%)."
            " Move to a machine of your own, or raise timing.contention_share",
        ),
        (
            {"other_share": 0.0, "sibling_share": 0.4, "sibling_cpu": 5, "run_delay_share": 0.2},
            {"contended": True},
            "contended: CPU 5, beside one of the engine's, was busy for 40% (allowed: 5%). Stop them, or raise"
            " timing.contention_share",
        ),
        (
            {"other_share": None, "run_delay_share": 0.2},
            {"contended": True},
            "contended: a thread waited for its CPU for 20% of the time (allowed: 5%). Stop them, or raise"
            " timing.contention_share",
        ),
        (
            {"quota_throttles": 4, "quota_throttled_s": 0.31},
            {"throttled": True},
            "throttled: the control group's CPU quota was used up 4 time(s), for 0.31 s. Raise the quota, or lower"
            " threads",
        ),
        (
            {"other_share": 0.01, "gpu_other_processes": 2},
            {"contended": True},
            "contended: 2 other process(es) computed on the GPU. Stop them, or raise timing.contention_share",
        ),
        (
            {"other_share": 0.01, "gpu_busy_before": 0.9},
            {"contended": True},
            "contended: the GPU was busy for 90% of the time before this process used it (allowed: 5%). Stop them, or"
            " raise timing.contention_share",
        ),
        (
            {"gpu_held_back_share": 0.2, "gpu_reasons": ["power cap", "thermal (hardware)"]},
            {"throttled": True},
            "throttled: the GPU was held back for 20% of the time (allowed: 1%), and the GPU gave as reason thermal"
            " (hardware)."
            " Cool the device, or lock its clock below the limit",
        ),
        (
            {},
            {"steady": False, "drift": -0.25, "drift_tolerance": 0.1},
            "not steady: the last third of the runs was 25% faster than the first (allowed: 10%). Raise"
            " timing.round_min_s and timing.warm_up.max_s",
        ),
    ],
    ids=(
        "others",
        "hypervisor",
        "sibling",
        "waiting",
        "quota",
        "GPU shared",
        "GPU busy before",
        "GPU throttled",
        "not steady",
    ),
)
def test_flag_tells_how_much_the_bound_and_the_cure(seen, facts, told):
    assert flags.sentences([(1, QUIET), (2, round_of(seen, **facts))]) == [f"round 2 is {told}"]


def test_rounds_with_one_flag_share_a_sentence_with_the_largest_share():
    shares = ((1, 0.3), (3, 0.125))
    (told,) = flags.sentences([(n, round_of({"other_share": share}, contended=True)) for n, share in shares])
    assert told.startswith("rounds 1, 3 are contended: other processes used up to 30% of a CPU")


def test_stretch_that_was_run_again_does_not_count():
    seen = [{"other_share": 0.9}, {"other_share": 0.07}]
    (told,) = flags.sentences([(1, {**QUIET, "contended": True, "disturbances": seen, "repeats": 1})])
    assert "used 7% of a CPU" in told


def test_record_without_numbers_still_tells_its_flags():
    assert flags.sentences([(2, {"contended": True})]) == ["round 2 is contended: other processes used the machine"]


def test_row_of_a_table_without_sentences_tells_its_flags():
    row = {"flags": "", "steady": False, "contended": None, "throttled": True}
    assert flags.names(row) == ["not steady", "throttled"]
    assert flags.sentences_of(row) == [
        "not steady: its runs became faster or slower",
        "throttled: heat, power or a CPU quota slowed the device down",
    ]


def test_sentences_of_a_row_can_be_told_apart_again():
    both = flags.sentences([(1, round_of({"other_share": 0.5}, contended=True, steady=False, warm_up_runs=9))])
    assert flags.sentences_of({"flags": flags.SEPARATOR.join(both)}) == both


@pytest.mark.parametrize(
    ("values", "expected"), [([], None), ([None], None), ([None, False], False), ([None, True, False], True)]
)
def test_what_no_round_could_read_is_unknown_and_not_false(values, expected):
    assert flags.any_known(values) is expected
