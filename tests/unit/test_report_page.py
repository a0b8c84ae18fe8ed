"""The report's parts: answer, Pareto front, warnings, latencies, pictures, and a page that no name can break."""

import argparse
import base64
import html.parser
import json
import re
import sys
from pathlib import Path

import altair as alt
import cv2
import numpy as np
import pytest
from helpers.report_made import ENTRIES, REASON, Made
from segbench.files import write_record, write_text
from segbench.images.colours import palette
from segbench.report import PLOTS, SWEPT, contents, derived, lost_objects, provenance, render, samples
from segbench.report.derived import warnings_of
from segbench.report.page import page
from segbench.report.plots import heights_of_names
from segbench.report.rounds import rounds_of, summary, thin
from segbench.report.worst_images import worst_images
from segbench.scoring.image_counts import ImageCounts
from segbench.scoring.predictions import key_of
from segbench.table.rows import read_rows

ROOT = Path(__file__).parents[2]
PUBLISHED = sorted((ROOT / "resources" / "published").glob("*.csv"))
HOSTILE = ["</script><script>hacked=1</script>", '"><img src=x onerror=hacked=1>', "Straße 道路 🚗 \u202e", "x" * 400]


def content_of(made: Made):
    asked = argparse.Namespace(
        results=made.results, selection=made.selection, settings=made.settings, published=PUBLISHED, date="today"
    )
    return contents.gather(asked, *contents.read(made.results, made.selection))


def made_rows(made: Made):
    return contents.read(made.results, made.selection)[0]


def test_speed_ups_are_over_rows_of_the_same_model(tmp_path):
    rows = {(row["model"], row["variant"]): row for row in made_rows(Made(tmp_path, variants=tuple(ENTRIES)))}
    native, fast = rows["second", "paddle-fp32"], rows["second", "onnxruntime-int8"]
    assert native["native"] and native["speed_up"] is None
    assert fast["speed_up"].over is native and 7 < fast["speed_up"].value < 9
    assert fast["speed_up"].low < fast["speed_up"].value < fast["speed_up"].high
    assert fast["over_other"].over is rows["second", "openvino-fp32"]
    assert fast["over_fp32"].over is rows["second", "onnxruntime-fp32"]
    assert rows["first", "openvino-fp16"]["speed_up"] is None


def test_reference_is_native_where_no_row_is_unaccelerated(tmp_path):
    made = Made(tmp_path, variants=("onnxruntime-fp32", "openvino-int8"))
    for path in (made.results / "scores").rglob("*.json"):
        path.write_text(path.read_text().replace("paddle-fp32", "onnxruntime-fp32"))
    assert [row["native"] for row in made_rows(made)] == [True, False, True, False]


def test_a_flagged_row_would_be_faster_and_is_not_the_answer(tmp_path):
    text = page(content_of(Made(tmp_path, records={"openvino-int8-table": {"contended": True}})))
    answer = Reader(text[text.index('<section id="answer"') : text.index('<section id="accuracy_latency"')]).text
    first = answer[answer.index("Fastest") : answer.index("Best mIoU")]
    assert "PSPNet (narrow) · onnxruntime-fp32" in first
    told = " ".join(first[first.index("Would be faster, but") :].split())
    assert "openvino-int8-table: 0.03" in told and "contended: other processes used the machine" in told


def test_no_eligible_row_is_told_with_its_cure(tmp_path):
    flagged = {name: {"throttled": True} for name in ENTRIES if name != "openvino-int8"}
    answer = Reader(page(content_of(Made(tmp_path, records=flagged)))).text
    assert "No row can be recommended" in answer
    assert "delete results/runs and results/control, and run again" in answer
    assert "Choose another calibrator" in answer and "Best mIoU" not in answer


def test_what_cannot_be_told_apart_is_said_once(tmp_path):
    known, unknown = (
        Reader(page(content_of(Made(tmp_path / name, rounds=4, control=control)))).text
        for name, control in (("with", True), ("without", False))
    )
    assert known.count("cannot be told on this machine today") == 1 and "(first/onnxruntime-fp32)" in known
    assert unknown.count("It is not known which differences in time can be told") == 1


def test_marks_of_direction_turn_nothing_behind_a_name():
    assert derived.isolated("plain") == "plain"
    assert derived.isolated("a\u202eb") == "\u2068a\u202eb\u2069"


def test_models_of_one_title_are_told_apart(tmp_path):
    rows = made_rows(Made(tmp_path, models={"one": "PSPNet", "two": "PSPNet"}))
    assert len({row["label"] for row in rows}) == len(rows)


def test_warnings_say_everything_against_a_row(tmp_path):
    row = next(row for row in made_rows(Made(tmp_path, rounds=1)) if row["variant"] == "openvino-int8")
    row |= {"steady": False, "throttled": True, "contended": True}
    told = " / ".join(warnings_of(row))
    for part in ("agrees with", "not steady", "throttled", "other processes", "fewer than three rounds", "p90 and p99"):
        assert part in told


def test_common_warnings_come_last(tmp_path):
    counts = [len(rows) for _, rows in derived.warnings(made_rows(Made(tmp_path)))]
    assert counts == sorted(counts) and counts[0] == 1 < counts[-1]


def test_thinned_latencies_keep_both_ends_and_the_shape():
    ordered = [n / 1000 for n in range(1000)]
    kept = thin(ordered, 11)
    assert kept[0] == 0 and kept[-1] == 0.999 and len(kept) == 11
    assert kept == sorted(kept) and thin(ordered[:11], 11) == ordered[:11]


def test_drift_within_a_round_is_told():
    assert summary([1, 1, 1, 2, 2, 2])["late_to_early"] == 2
    assert summary([1])["late_to_early"] is None


def test_every_round_that_ran_has_its_latencies(tmp_path):
    made = Made(tmp_path)
    found = rounds_of(made.results, made_rows(made))
    assert len(found) == 2 * 4 * 3
    assert {record["count"] for record in found} == {4}


def test_pictures_show_seeded_images_and_those_that_differ_most(tmp_path):
    made = Made(tmp_path)
    lines, left_out = samples.samples(made.results, made_rows(made))
    first = [line for line in lines if line.model == "first"]
    assert left_out == 0 and len(first) == 3  # two seeded; both INT8 variants differ most on one image
    worst = [shown.caption for shown in first[2].shown]
    assert worst[:3] == ["image", "label", "predicted by paddle-fp32"]
    assert worst[3:5] == ["predicted by openvino-int8", "openvino-int8 differs on 3.12%"]
    assert "onnxruntime-fp32 differs on 0.00%" in [shown.caption for shown in first[0].shown]


def test_pictures_stop_at_their_size(tmp_path, monkeypatch):
    made = Made(tmp_path)
    monkeypatch.setattr(samples, "MAX_BYTES", 5000)
    lines, left_out = samples.samples(made.results, made_rows(made))
    assert len(lines) + left_out == 6 and left_out > 0


def test_an_older_runs_reference_is_not_read(tmp_path):
    made = Made(tmp_path)
    made.selection["variants"].pop("paddle-fp32")
    lines, _ = samples.samples(made.results, made_rows(made))
    assert not any("paddle" in shown.caption or "differs" in shown.caption for line in lines for shown in line.shown)


def test_lost_objects_are_shown_by_class_and_size_and_as_pictures(tmp_path):
    made = Made(tmp_path)
    rows = {row["id"]: row for row in made_rows(made)}
    cells = {
        (rows[id_]["model"], rows[id_]["variant"]): cells
        for id_, cells in lost_objects.table_of(made.results, [*rows.values()])
    }
    assert ("first", "paddle-fp32") not in cells and ("first", "openvino-fp16") not in cells
    assert cells["first", "openvino-int8"][1:] == ["30", "2", "1", "sky 2", "small 2"]
    assert cells["first", "onnxruntime-fp32"][1:] == ["30", "0", "0", "", ""]
    lines = lost_objects.lines_of(made.results, [*rows.values()])
    assert [line.model for line in lines] == ["first", "second"]  # one object, which two variants lose
    about = "sky of 40 pixels: paddle-fp32 has 90.0% of them, openvino-int8 10.0%, openvino-int8-table 10.0%"
    assert (lines[0].image_id, lines[0].about) == (made.ids[1], about)
    predicted = [f"predicted by {name}" for name in ("paddle-fp32", "openvino-int8", "openvino-int8-table")]
    assert [shown.caption for shown in lines[0].shown] == ["image", "label", *predicted]
    text = page(content_of(made))
    section = Reader(text[text.index('<section id="lost"') : text.index('<section id="rows"')]).text
    assert "sky 2" in section and about in section


def test_window_around_an_object_shows_it_enlarged_and_framed(tmp_path):
    made = Made(tmp_path)
    (line, *_) = lost_objects.lines_of(made.results, made_rows(made))
    own = line.shown[3].address.split(",", 1)[1]
    window = cv2.imdecode(np.frombuffer(base64.b64decode(own), np.uint8), cv2.IMREAD_COLOR)
    assert max(window.shape[:2]) == lost_objects.SIDE  # of 26×16 pixels: the object with 16 on either side, cut off
    road, car = palette(made.classes)[:2, ::-1]
    by = lost_objects.SIDE / 26
    assert (window[round(0.5 * by), round(12.5 * by)] == car).all()  # where the variant differs
    assert (window[round(12.5 * by), round(12.5 * by)] == road).all()
    frame = (window == 255).all(2)
    rows, columns = np.flatnonzero(frame.any(1)), np.flatnonzero(frame.any(0))
    edges = [rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]
    assert [round(edge / by) for edge in edges] == [3, 8, 2, 10]


def test_the_images_that_lose_most_are_named_in_order(tmp_path):
    two = ("paddle-fp32", "openvino-int8")
    made = Made(tmp_path, models={"first": "PSPNet (narrow)"}, variants=two, images=14)
    for variant in two:
        path = made.results / f"scores/made/first/{variant}.json"
        score, found = json.loads(path.read_text()), ImageCounts()
        for number, image_id in enumerate(made.ids):
            lost = number * (variant == "openvino-int8" and number < 12)  # image 11 loses most, 0, 12 and 13 nothing
            found.add(key_of(image_id), np.array([[80 - lost, 50, 0], [100, 100, 0], [100, 100, lost]]))
        path.write_text(json.dumps(score | {"image_counts": found.packed()}))
    rows = made_rows(made)
    (one,) = worst_images(made.results, rows)
    assert (one.lose, one.gain, one.images) == (11, 0, 14)
    assert [cells[0] for _, cells in one.cells] == [f"image {number}" for number in range(11, 1, -1)]
    assert one.cells[0][1] == [
        "image 11",
        f"{(69 / 131 - 80 / 120) / 2:+.4f}",
        "0.5000",
        f"{(69 / 131 + 1 / 3) / 2:.4f}",
    ]
    text = page(content_of(made))
    section = Reader(text[text.index('<section id="images"') : text.index('<section id="rows"')]).text
    assert "11 of 14 images lose, 0 gain; the worst -0.0700" in " ".join(section.split())


def test_groups_of_images_are_not_named_as_images(tmp_path, monkeypatch):
    made = Made(tmp_path, images=12)
    rows = made_rows(made)
    assert worst_images(made.results, rows)
    monkeypatch.setattr(sys.modules["segbench.report.worst_images"], "MAX_ROWS", 11)
    assert worst_images(made.results, rows) == []


def test_a_run_without_objects_has_no_section_of_them(tmp_path):
    assert 'id="lost"' not in page(content_of(Made(tmp_path, labelled=False)))


def test_explanations_that_were_made_are_shown_folded_with_their_pictures(tmp_path):
    made = Made(tmp_path)
    assert 'id="layers"' not in page(content_of(made))
    for first, said in (("paddle-fp32", "int8 takes <half>"), ("gone-fp32", "of a row that is not in the table")):
        path = made.results / "explain" / "made" / "second" / f"{first}--openvino-int8.json"
        write_record(path, {"model": "second", "variants": [first, "openvino-int8"], "said": said})
        write_text(path.with_suffix(".svg"), "<svg>bars</svg>")
    parting = made.results / "diverge" / "made" / "first" / "openvino-int8.json"
    write_record(parting, {"said": "openvino-int8 parts from native Paddle at conv2d `x`."})
    text = page(content_of(made))
    section = text[text.index('<section id="layers"') : text.index('<section id="rows"')]
    row = next(row for row in made_rows(made) if (row["model"], row["variant"]) == ("second", "openvino-int8"))
    assert f'<details data-row="{row["id"]}">' in section and section.count("<details") == 1
    assert "int8 takes &lt;half&gt;" in section and "not in the table" not in section
    assert f'src="data:image/svg+xml;base64,{base64.b64encode(b"<svg>bars</svg>").decode()}"' in section
    assert "PSPNet (narrow) · openvino-int8</span>: openvino-int8 parts from native Paddle at conv2d x." in section


def test_every_plot_is_a_file_with_a_caption_for_snakemake(tmp_path):
    content = content_of(Made(tmp_path))
    assert [plot.name for plot in content.plots] == list(PLOTS)
    for plot in content.plots:
        assert bool(plot.records and plot.table.rows) != (plot.name in SWEPT), plot.name
        assert (ROOT / "report" / f"{plot.name}.rst").stat().st_size > 0
        document = render.svg(plot.file_spec())
        assert document.startswith("<svg") and plot.title in document
        for spec in (plot.page_spec(), plot.file_spec()):
            alt.Chart.from_dict(spec)  # raises where Vega-Lite's schema does not allow it
    assert render.png(document).startswith(b"\x89PNG")


class Reader(html.parser.HTMLParser):
    """Elements, and text outside scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text, self.inside = "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in ("script", "style") else self.inside

    def handle_endtag(self, tag):
        self.inside = "" if tag == self.inside else self.inside

    def handle_data(self, data):
        self.text += "" if self.inside else data


def data_of(text: str) -> dict:
    return json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))


def test_page_is_the_same_twice(tmp_path):
    made = Made(tmp_path)
    assert page(content_of(made)) == page(content_of(made))


def test_page_tells_how_long_the_stages_of_its_models_took(tmp_path):
    made = Made(tmp_path)
    seconds = {"runs/demo/first/openvino-fp32/9/0": 2.0, "control/demo/first/paddle-fp32/second-0123abcd/1": 0.5}
    for place in (*seconds, "runs/demo/not_shown/openvino-fp32/9/0"):
        path = made.results / place.replace("demo", made.selection["dataset"], 1) / "status.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"wall_s": seconds.get(place, 100.0)}))
    told = {stage: taken for stage, _, taken in provenance.stages(made.results, made_rows(made))}
    assert (told["timed rounds"], told["rounds of the control"]) == (2.0, 0.5)
    assert "<td>2.0</td>" in page(content_of(made))


def test_page_needs_no_network_and_names_no_host_or_path(tmp_path):
    made = Made(tmp_path)
    text = page(content_of(made))
    for tag, attributes in Reader(text).elements:
        for name in ("src", "href"):
            assert attributes.get(name, "#").startswith(("#", "data:")), (tag, attributes)
    assert "my-host" not in text and "/home/me" not in text and str(tmp_path) not in text


def test_page_has_every_row_in_full_precision(tmp_path):
    made = Made(tmp_path)
    told = data_of(page(content_of(made)))["rows"]
    for row, shown in zip(read_rows(made.results, made.selection), told, strict=True):
        assert {name: row[name] for name in ("time_s", "miou", "n")} == {
            name: shown[name] for name in ("time_s", "miou", "n")
        }


def test_hostile_names_are_text(tmp_path):
    made = Made(tmp_path, models={f"m{number}": name for number, name in enumerate(HOSTILE)}, classes=HOSTILE)
    made.settings["configuration"]["models"] = HOSTILE
    content = content_of(made)
    reader = Reader(page(content))
    assert all(name in reader.text for name in HOSTILE)
    assert [tag for tag, _ in reader.elements].count("script") == 3
    assert all(value["src"].startswith("data:") for tag, value in reader.elements if tag == "img")
    for plot in content.plots:
        assert "<script" not in render.svg(plot.file_spec()) and "<img" not in render.svg(plot.file_spec())


def test_rows_that_could_not_run_have_their_reasons(tmp_path):
    text = Reader(page(content_of(Made(tmp_path)))).text
    assert text.count(REASON) == 2  # one for each model


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ({"failed": True}, "No row can be recommended"),
        ({"models": {"only": "The only one"}, "variants": ("paddle-fp32",), "rounds": 1}, "Every row ran"),
        ({"labelled": False}, "No mIoU was measured"),
    ],
    ids=("nothing ran", "one row", "no labels"),
)
def test_page_of_less_is_still_whole(tmp_path, case, words):
    content = content_of(Made(tmp_path, **case))
    reader = Reader(page(content))
    assert words in reader.text
    sections = {attributes.get("id") for tag, attributes in reader.elements if tag == "section"}
    assert sections & {*PLOTS} == {*PLOTS} - {*SWEPT}
    assert sections >= {"answer", "samples", "rows", "failed", "warnings", "published", "measured"}
    for plot in content.plots:
        assert render.svg(plot.file_spec()).startswith("<svg")


def test_without_labels_agreement_is_the_measure(tmp_path):
    content = content_of(Made(tmp_path, labelled=False))
    assert data_of(page(content))["measure"] == "pixel_agreement"
    assert [plot.name for plot in content.plots if not plot.records] == [*SWEPT, "iou_per_class"]


def test_names_in_the_first_plot_keep_apart_and_keep_their_order():
    heights = heights_of_names([(0.1, 0.60, "a"), (0.01, 0.61, "a"), (0.1, 0.601, "b"), (0.2, 0.70, "c")])
    assert heights["a"] == 0.60 and heights["c"] == 0.70
    assert 0.601 < heights["b"] < 0.70
    assert heights_of_names([]) == {}
