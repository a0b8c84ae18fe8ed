"""What a variant does at several settings: rates and latencies of rows, the knee, and the sentence of what to use."""

import pytest
from segbench.report import render
from segbench.report.answer import Claims
from segbench.report.plots import by_size, throughput
from segbench.table.markdown import throughput as section
from segbench.table.rows import read_rows
from segbench.table.throughput import advice, settings_of, settings_table
from segbench.timing.latencies import LatencyLine, write_latencies
from test_answer import Sure, row
from test_rows import SELECTION, results, write_class_maps  # noqa: F401  a fixture


def setting(name, rate, batch=1, streams=1, **cells):
    """A row of the table at `rate` images a second, whose latency is that of its batch or of one of its streams."""
    figures = {"images_per_s": rate, "latency_s": batch * streams / rate, "batch": batch, "streams": streams}
    scenario = "batch" if batch > 1 else "streams" if streams > 1 else "single"
    usual = {"base_variant": "a", "threads": 2, "time_half_width": 0.02, "scenario": scenario, "title": "Net"}
    return row(name, 1 / rate, 0.6, **{**usual, **figures, **cells})


FOUR = [setting("a", 50), setting("a-b2", 80, 2), setting("a-b4", 96, 4), setting("a-b8", 100, 8)]


def test_knee_is_the_smallest_setting_that_is_nearly_the_best():
    (found,) = settings_of([FOUR[3], *FOUR[:3]])
    assert [one["variant"] for one in found.rows] == ["a", "a-b2", "a-b4", "a-b8"]
    assert (found.best["variant"], found.knee["variant"]) == ("a-b8", "a-b4")


def test_of_settings_with_as_many_images_under_way_the_one_of_fewer_threads_is_smaller():
    (found,) = settings_of([setting("a", 100, threads=2), setting("a-t1", 98, threads=1)])
    assert found.knee["variant"] == "a-t1"


@pytest.mark.parametrize("cells", [{"agrees": False}, {"repeatable": False}])
def test_setting_that_computes_something_else_is_not_used(cells):
    (found,) = settings_of([*FOUR[:3], setting("a-b8", 1000, 8, **cells)])
    assert found.best["variant"] == found.knee["variant"] == "a-b4" and len(found.rows) == 4


def test_sentence_names_the_best_variant_of_each_model_with_its_latency():
    other = [setting("o", 20, base_variant="o"), setting("o-s2", 30, streams=2, base_variant="o")]
    second = [
        setting("a", 5, model="n", title="Other"),
        setting("a-s2", 9, streams=2, model="n", title="Other", p90_s=0.3),
    ]
    assert advice(settings_of([*FOUR, *other, *second])) == [
        "For Net where throughput counts, use a-b4: 96.0 ±2% images/s, within 5% of the most (a-b8, 100 ±2%);"
        " a batch of 4 takes 0.0417 s. It gives 1.92 times (1.90 to 1.94) what a gives.",
        "For Other where throughput counts, use a-s2: 9.00 ±2% images/s; an image in one of 2 streams takes 0.222 s"
        " (p90 0.300 s). It gives 1.80 times (1.78 to 1.82) what a gives.",
    ]


@pytest.mark.parametrize(
    ("single", "said"),
    [
        ("0.020;0.021;0.022", "It gives 1.97 times (1.84 to 2.11) what a gives."),
        ("0.011;0.010;0.012", "That it gives more than a is not shown: 1.03 times (0.79 to 1.35)."),
    ],
)
def test_sentence_says_whether_the_setting_is_shown_to_give_more_than_single_images(single, said):
    rounds = {"a": (single, 1), "a-b2": ("0.010;0.011;0.011", 2)}
    rows = [
        setting(name, 50 * batch, batch, round_medians_s=times, round_controls_s="0.01;0.01;0.01")
        for name, (times, batch) in rounds.items()
    ]
    (sentence,) = advice(settings_of(rows))
    assert sentence.endswith(said)


def test_without_settings_there_is_no_section():
    assert section([FOUR[0], setting("b", 40, base_variant="b")]) == []
    assert section(FOUR)[0] == "## Throughput" and "| a-b4" in section(FOUR)[2]


def test_cost_of_every_setting_is_shown_where_the_machine_has_a_price():
    assert "cost" not in section(FOUR)[2]
    priced = [{**one, "cost_per_million": 500 / one["images_per_s"]} for one in FOUR]
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in section(priced)[2].split("\n")
    ]
    at = header.index("cost of a million")
    assert [(line[1], line[at], line[-1]) for line in lines] == [
        ("a", "10.0", ""), ("a-b2", "6.25", ""), ("a-b4", "5.21", "knee"), ("a-b8", "5.00", "best")
    ]  # fmt: skip
    plot = throughput(facts(priced))
    assert [cells[at - 1] for _, cells in plot.table.rows] == ["10.0", "6.25", "5.21", "5.00"]


def test_the_best_setting_is_marked_and_may_be_the_knee():
    assert [line[-1] for line in settings_table(settings_of(FOUR[:3]))[1]] == ["", "", "best, knee"]


def test_answer_is_about_one_image_after_the_other():
    claims = Claims(FOUR, Sure())
    assert [one["variant"] for one in claims.eligible()] == ["a"]
    (step,) = claims.steps()
    assert [one["variant"] for one in step.fastest] == ["a"] and step.but == []


def facts(rows):
    return [{**one, "id": f"r{n}", "label": f"{one['title']} · {one['variant']}"} for n, one in enumerate(rows)]


def test_plot_joins_the_settings_of_a_variant_and_rings_its_knee():
    plot = throughput(facts(FOUR))
    assert [(one["line"], one["order"], one["knee"]) for one in plot.records] == [
        ("m a batch", number, number == 2) for number in range(4)
    ]
    assert [one["setting"] for one in plot.records] == ["Net", "b2", "b4", "b8"]
    assert plot.caption.startswith("For Net where throughput counts, use a-b4")
    assert render.svg(plot.file_spec()).startswith("<svg") and len(plot.table.rows) == 4
    streams = throughput(facts([*FOUR, setting("a-s2", 70, streams=2)]))
    assert [one["label"] for one in streams.records if one["line"] == "m a streams"] == ["Net · a", "Net · a-s2"]
    assert throughput(facts(FOUR[:1])).records == []


def test_sizes_of_one_network_are_a_line_and_a_network_of_one_size_is_none():
    def sized(model, height, base):
        return row("a", 0.1, 0.5, model=model, base_model=base, input_height=height, input_width=2 * height)

    rows = facts([sized("net", 256, "net"), sized("net-128x256", 128, "net"), sized("alone", 64, "alone")])
    plot = by_size(rows, "size_accuracy", "mIoU", "miou")
    assert [(one["line"], one["pixels"], one["size"]) for one in plot.records] == [
        ("net a", 256 * 512, "256×512"), ("net a", 128 * 256, "128×256"),
    ]  # fmt: skip


def write_round(folder, latencies, batch):
    """A round in batches: images share their batch's time."""
    lines = [
        LatencyLine(f"{at}", time / batch, time / batch, latency_s=time)
        for at, time in enumerate(one for time in latencies for one in [time] * batch)
    ]
    write_latencies(folder / "latencies.csv", lines)


def test_row_of_a_batch_has_images_per_second_and_the_latency_of_a_batch(results):  # noqa: F811
    entries = {"a": SELECTION["variants"]["a"], "b": {**SELECTION["variants"]["b"], "batch": 2}}
    for number, times in ((1, [0.1] * 63 + [0.9]), (2, [0.2] * 64)):
        write_round(results / f"runs/made/small/b/{number}/0", times, 2)
    a, b = read_rows(results, {**SELECTION, "variants": entries})
    assert (a["scenario"], a["base_variant"], b["scenario"], b["batch"], b["base_variant"]) == (
        "single",
        "a",
        "batch",
        2,
        "a",
    )
    assert b["time_s"] == pytest.approx(0.075) and b["images_per_s"] == pytest.approx(1 / 0.075)
    assert b["latency_s"] == pytest.approx(0.15) and b["n"] == 256
    assert b["p90_s"] == pytest.approx(0.2)  # of the 128 runs of both rounds, the slowest is beyond the bound
    assert a["latency_s"] == a["time_s"]
