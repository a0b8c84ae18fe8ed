"""What is said of a model that is quantised already, beside our calibration of its float sibling."""

import pytest
from segbench.report.quantized import beside_calibrated
from test_answer import claims, row

INT8 = {"precision": "int8", "label": "M · int8", "calibrator": "percentile", "model": "raw"}
QAT = {"precision": "int8", "calibrator": "model", "model": "qat", "reference": "raw/paddle-fp32"}
SAME = "at the same speed (1.00× its time, 0.99–1.01)"
UNCLEAR = "at a speed that is not shown to be the same or another"
GAINS, OVER = "gains 0.0060 mIoU (0.0050 to 0.0070) over", "M · int8 (percentile)"


def calibrated(name="openvino-int8", time=0.1, **cells):
    return row(name, time, 0.6, **{"miou_labelled": 0.6, **INT8, **cells})


def quantized(time=0.1, miou=0.606, **cells):
    return row("openvino-int8-model", time, miou, **{"miou_labelled": miou, **QAT, **cells})


def said(*rows, error=0.001, margin=0.02):
    return [sentence for _, sentence in beside_calibrated(claims(*rows, error=error), margin)]


@pytest.mark.parametrize(
    ("own", "sentence"),
    [
        (quantized(), f"{GAINS} {OVER}, {SAME}"),
        (quantized(miou=0.59), f"loses 0.0100 mIoU (0.0090 to 0.0110) against {OVER}, {SAME}"),
        (quantized(miou=0.6005), f"is not shown to differ in mIoU (-0.0005 to +0.0015) from {OVER}, {SAME}"),
        (quantized(miou=None), f"has no mIoU to compare with {OVER}, {SAME}"),
        (quantized(scored_by="class maps"), f"has no mIoU to compare with {OVER}, {SAME}"),
        (quantized(0.05), f"{GAINS} {OVER}, and is faster (0.50× its time, 0.50–0.51)"),
        (quantized(0.2), f"{GAINS} {OVER}, and is slower (2.00× its time, 1.98–2.02)"),
        (quantized(0.1016), f"{GAINS} {OVER}, {UNCLEAR} (1.02× its time, 1.01–1.03)"),
        (quantized(contended=True), f"{GAINS} {OVER}, {UNCLEAR} (1.00× its time, 0.99–1.01, c)"),
        (quantized(round_medians_s=None), f"{GAINS} {OVER}, without a time to compare"),
    ],
)
def test_sentence_claims_what_was_shown(own, sentence):
    assert said(calibrated(), own) == [sentence]


AGREES_NOT = "its class maps agree too little with the reference's"
CHANGES = "its rounds computed other class maps than the accuracy pass"


@pytest.mark.parametrize(
    ("own", "sibling", "reason"),
    [
        ({}, {"agrees": False}, f"of that row: {AGREES_NOT}"),
        ({}, {"agrees": False, "time_s": None, "round_medians_s": None}, f"of that row: {AGREES_NOT}"),
        ({}, {"agrees": False, "repeatable": False}, f"of that row: {CHANGES}, {AGREES_NOT}"),
        ({"repeatable": False}, {"agrees": False}, f"of this row: {CHANGES}; of that row: {AGREES_NOT}"),
    ],
)
def test_row_whose_class_maps_are_distrusted_is_not_compared_and_says_why(own, sibling, reason):
    assert said(calibrated(**sibling), quantized(**own)) == [f"is not compared with {OVER} ({reason})"]


def test_other_calibrations_are_compared_beside_one_whose_class_maps_are_distrusted():
    assert said(calibrated(agrees=False), calibrated(), quantized()) == [
        f"is not compared with {OVER} (of that row: {AGREES_NOT}); {GAINS} {OVER}, {SAME}"
    ]


def test_same_speed_depends_on_the_margin():
    assert said(calibrated(), quantized(), margin=0.005) == [f"{GAINS} {OVER}, {UNCLEAR} (1.00× its time, 0.99–1.01)"]


def test_too_few_images_give_no_interval(monkeypatch):
    found = claims(calibrated(), quantized())
    monkeypatch.setattr(found, "change", lambda row, other: None)
    assert beside_calibrated(found, 0.02)[0][1] == f"differs by +0.0060 mIoU (no interval) from {OVER}, {SAME}"


def test_each_calibration_on_the_same_engine_counts():
    others = [
        calibrated("onnxruntime-int8"),
        calibrated(precision="fp32", calibrator=None),
        calibrated(batch=8),
        calibrated(model="other"),
        calibrated(status="failed"),
        quantized(model="raw", reference="paddle-fp32"),  # it has no float sibling
    ]
    assert said(*others, quantized()) == []
    assert said(*others, calibrated(), calibrated(time=0.05), quantized()) == [
        f"{GAINS} {OVER}, {SAME}; {GAINS} {OVER}, and is slower (2.00× its time, 1.98–2.02)"
    ]
