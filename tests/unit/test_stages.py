"""How long the stages of a run took."""

from segbench.planning.stages import Span, stage_times


def test_stages_are_listed_with_the_longest_first():
    spans = [Span("score", 10, 12), Span("infer", 0, 5), Span("infer", 5, 9.5)]
    assert stage_times(spans).splitlines() == [
        "This run's stages:",
        "  infer      9.5 s     2 jobs",
        "  score      2.0 s     1 job",
    ]


def test_jobs_side_by_side_count_once():
    spans = [Span("calibrate", 0, 10), Span("calibrate", 2, 4), Span("calibrate", 5, 12), Span("calibrate", 20, 21)]
    assert "13.0 s" in stage_times(spans)


def test_run_without_jobs_says_nothing():
    assert stage_times([]) == ""
