"""A data set scores the same whatever form its files have: ids or colours, globs or lists."""

import cv2
import numpy as np

COLOURS = np.array([[128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128]], np.uint8)  # RGB


def test_labels_in_colours_named_by_a_list_score_as_ids_do(done):
    root = done.folder / "street scenes"
    expected = done.rows()[0]["miou"]
    done.config |= {"variants": ["onnxruntime-fp32"], "rounds": 1}

    lines = []
    for number, path in enumerate(sorted((root / "labels").iterdir())):
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        colours = np.where(ids[..., None] == 255, 0, COLOURS[ids % 4]).astype(np.uint8)
        (root / "ann").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "ann" / f"{100 - number} mask.png"), colours[..., ::-1])
        lines.append(f"val/{path.name}\tann/{100 - number} mask.png\r\n")
    (root / "lists").mkdir()
    (root / "lists" / "held out.txt").write_bytes("".join(lines).encode())
    id_map = {",".join(map(str, colour)): number for number, colour in enumerate(COLOURS.tolist())}
    done.config["dataset_catalogue"]["coloured"] = {
        **done.config["dataset_catalogue"]["made"],
        "root": "$SCENES/street scenes",
        "split": "test",
        "splits": {"test": {"list": "lists/held out.txt"}},
        "id_map": {**id_map, "0,0,0": 255},
    }
    done.config["dataset"] = "coloured"
    picture = "results/pictures/coloured/nearest/onnxruntime-fp32.png"
    done.snakemake("results/table.csv", picture, env={"SCENES": str(done.folder)})
    (row,) = done.rows()
    assert (row["status"], row["miou"]) == ("ok", expected) and float(expected) > 0.5

    cv2.imwrite(str(root / "ann" / "100 mask.png"), np.zeros((32, 64, 3), np.uint8))
    planned = done.plan("results/table.csv", env={"SCENES": str(done.folder)})
    assert "index_dataset" in planned and "index_images" not in planned and "time_round" not in planned
