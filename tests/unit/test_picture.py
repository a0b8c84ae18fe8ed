"""Pictures of a run show what was predicted, in the class's colour, and what of it is wrong."""

import cv2
import numpy as np
from picture import GAP, draw
from segbench.images.colours import palette
from segbench.images.pictures import choose
from segbench.scoring.predictions import Predictions, PredictionsWriter

HEIGHT, WIDTH = 8, 16
DATASET = {"classes": ["road", "car", "elephant"], "ignore_index": 255, "id_map": None}


def one_image(tmp_path, class_map=None, labelled=True):
    """Columns of the picture: predicted raw class 1 in the left half, 0 in the right; the label is all road."""
    label = np.zeros((HEIGHT, WIDTH), np.uint8)
    label[0] = 255
    predicted = np.zeros((HEIGHT, WIDTH), np.uint8)
    predicted[:, : WIDTH // 2] = 1
    cv2.imwrite(str(tmp_path / "image.png"), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    cv2.imwrite(str(tmp_path / "label.png"), label)
    with PredictionsWriter(tmp_path / "p.zip", HEIGHT, WIDTH) as writer:
        writer.add("image", predicted)
    row = {"image_id": "image", "image": str(tmp_path / "image.png")}
    row["label"] = str(tmp_path / "label.png") if labelled else ""
    picture = draw([row], [Predictions.open(tmp_path / "p.zip")], {"class_map": class_map}, DATASET)
    step = WIDTH + GAP
    return [picture[:HEIGHT, x : x + WIDTH, ::-1] for x in range(0, picture.shape[1], step)]


def test_prediction_has_the_classes_colours_and_errors_are_red(tmp_path):
    image, label, predicted, wrong = one_image(tmp_path)
    colours = palette(DATASET["classes"])
    assert (image == 90).all()
    assert (label[1:] == colours[0]).all() and (label[0] == 0).all()
    assert (predicted[:, :8] == colours[1]).all() and (predicted[:, 8:] == colours[0]).all()
    assert (wrong[1:, :8] == (220, 40, 40)).all()
    assert not (wrong[0] == (220, 40, 40)).all(1).any()  # ignored pixels are not wrong
    assert not (wrong[:, 8:] == (220, 40, 40)).all(2).any()


def test_class_map_is_applied(tmp_path):
    predicted = one_image(tmp_path, class_map=[0, 2, 255])[2]
    assert (predicted[:, :8] == palette(DATASET["classes"])[2]).all()


def test_without_labels_image_and_prediction_stand_alone(tmp_path):
    assert len(one_image(tmp_path, labelled=False)) == 2


def test_images_of_several_sizes_stand_below_each_other(tmp_path):
    rows = []
    with PredictionsWriter(tmp_path / "p.zip", HEIGHT, WIDTH) as writer:
        for name, size in (("small", (8, 16)), ("large", (10, 30))):
            cv2.imwrite(str(tmp_path / f"{name}.png"), np.zeros((*size, 3), np.uint8))
            writer.add_at_image_size(name, np.ones(size, np.uint8), np.ones((HEIGHT, WIDTH), np.uint8))
            rows.append({"image_id": name, "image": str(tmp_path / f"{name}.png"), "label": ""})
    picture = draw(rows, [Predictions.open(tmp_path / "p.zip")], {"class_map": None}, DATASET)
    assert picture.shape == (8 + 10 + 2 * GAP, 2 * (30 + GAP), 3)
    assert (picture[:8, 2 * (16 + GAP) :] == 255).all()
    colour = palette(DATASET["classes"])[1, ::-1]
    assert (picture[:8, 16 + GAP : 2 * 16 + GAP] == colour).all()
    assert (picture[8 + GAP : 18 + GAP, 30 + GAP : 60 + GAP] == colour).all()


def test_colours_are_cityscapes_own_and_differ():
    colours = palette(["road", "elephant", "tiger", "lion"])
    assert tuple(colours[0]) == (128, 64, 128)
    assert len({tuple(colour) for colour in colours[:4]}) == 4
    assert (colours[4:] == 0).all()


def test_chosen_images_are_seeded_and_in_order(tmp_path):
    index = tmp_path / "index.csv"
    index.write_text("image_id,image,label\n" + "".join(f"{n:02d},i,l\n" for n in range(20)))
    first = [row["image_id"] for row in choose(index, 5, seed=1)]
    assert first == sorted(first) and len(set(first)) == 5
    assert first == [row["image_id"] for row in choose(index, 5, seed=1)]
    assert len(choose(index, 50, seed=1)) == 20
