"""Folders in COCO's format arrive with every thing whole, at the size that frames are brought to."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssl_robot.datasets.importers._outlines import _numbers, inside, outlined
from ssl_robot.datasets.importers.coco import Coco
from ssl_robot.datasets.imports import import_sources
from ssl_robot.datasets.pictures import DamageError
from ssl_robot.datasets.store import FrameStore
from ssl_robot.errors import InputError
from ssl_robot.segments import instances

H, W = 20, 30
CATEGORIES = [{"id": 7, "name": "cup"}, {"id": 3, "name": "plate"}]


def picture(number: int, h: int = H, w: int = W) -> NDArray[np.uint8]:
    return np.random.default_rng(number).integers(0, 256, (h, w, 3), np.uint8)


def square(left: float, top: float, right: float, bottom: float) -> list[float]:
    return [left, top, right, top, right, bottom, left, bottom]


def runs(mask: NDArray[np.bool_]) -> list[int]:
    """A mask's run lengths down its columns, which begin outside."""
    flat = np.concatenate([[False], mask.T.reshape(-1), [False]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate([[0], ends, [mask.size]])[: len(ends) + 2]).tolist()


def annotation(number: int, image: int, category: int, **more: Any) -> dict[str, Any]:
    return {"id": number, "image_id": image, "category_id": category, **more}


def folder(
    path: Path, annotations: Sequence[dict[str, Any]], name: str = "annotations.json", place: str = "", **other: Any
) -> Path:
    """Two pictures with their annotations."""
    (path / place).mkdir(parents=True)
    (path / name).parent.mkdir(exist_ok=True)
    entries = [{"id": n, "file_name": f"{n}.png", "height": H, "width": W} for n in (5, 2)]
    for entry in entries:
        data = cv2.imencode(".png", picture(entry["id"])[..., ::-1])[1].tobytes()
        (path / place / entry["file_name"]).write_bytes(data)
    told = {"images": entries, "annotations": list(annotations), "categories": CATEGORIES, **other}
    (path / name).write_text(json.dumps(told))
    return path


def test_several_things_of_several_kinds_come_back_whole(tmp_path: Path, imported: Any) -> None:
    """Two cups, one of them before a plate, in one picture; a crowd of plates in the other."""
    hole = np.zeros((H, W), np.bool_)
    hole[4:14, 5:15] = True
    hole[8:10, 8:12] = False
    crowd = np.zeros((H, W), np.bool_)
    crowd[:5, 10:] = True
    items = [
        annotation(1, 2, 7, segmentation=[square(2, 3, 12, 11)]),
        annotation(2, 2, 7, segmentation=[square(20, 3, 24, 6), square(25, 8, 28, 12)]),
        annotation(3, 2, 3, segmentation={"counts": runs(hole), "size": [H, W]}),
        annotation(4, 5, 3, segmentation={"counts": runs(crowd), "size": [H, W]}, iscrowd=1),
        annotation(5, 5, 7, bbox=[0, 12, 6, 8]),
    ]
    store = imported(folder(tmp_path / "set", items))
    assert store.things == ("plate", "cup")
    assert store.schema.segmented == {"images": 4}
    np.testing.assert_array_equal(store.take(np.arange(2)), [picture(2), picture(5)])
    assert store.episodes.tolist() == [0, 1]
    first, second = ([(i.thing, i.crowd, i.box) for i in instances(found)] for found in store.maps(np.arange(2)))
    assert sorted(first) == [(1, False, (5, 4, 15, 14)), (2, False, (2, 3, 12, 11)), (2, False, (20, 3, 28, 12))]
    assert sorted(second) == [(1, True, (10, 0, 30, 5)), (2, False, (0, 12, 6, 20))]
    masks = {item.thing: item.mask for item in instances(store.maps(np.array([0]))[0])}
    np.testing.assert_array_equal(masks[1], hole)


def test_things_are_resized_with_the_frames(tmp_path: Path, imported: Any) -> None:
    """A picture of 30 x 20 becomes 10 x 10: a third as wide, half as high."""
    left = np.zeros((H, W), np.bool_)
    left[:, :15] = True
    items = [
        annotation(1, 2, 7, segmentation=[square(6, 4, 24, 16)]),
        annotation(2, 2, 3, segmentation=[square(0, 0, 1, 1)]),  # the middle of no pixel
        annotation(3, 5, 3, segmentation={"counts": runs(left), "size": [H, W]}),
    ]
    store = imported(folder(tmp_path / "set", items), size=10)
    first, second = ([(i.thing, i.box) for i in instances(found)] for found in store.maps(np.arange(2)))
    assert first == [(2, (2, 2, 8, 8))]
    assert second == [(1, (0, 0, 5, 10))]


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("annotations.json", "images"),
        ("_annotations.coco.json", ""),
        ("annotations/instances_val.json", "val"),
        ("annotations/instances_val.json", "annotations"),
        ("annotations/instances_val.json", "images/val"),
    ],
)
def test_the_usual_places_are_known(tmp_path: Path, imported: Any, name: str, images: str) -> None:
    source = folder(tmp_path / "set", [annotation(1, 2, 7, segmentation=[square(2, 3, 12, 11)])], name, images)
    assert Coco.knows(source)
    assert len(imported(source)) == 2
    assert not Coco.knows(source / images if images else tmp_path)


def shaded(path: Path, level: int) -> None:
    """Pictures 2 and 5 in a folder, of one grey level each with a dark corner."""
    path.mkdir(parents=True, exist_ok=True)
    for number in (2, 5):
        frame = np.full((H, W, 3), level, np.uint8)
        frame[0, 0] = 0
        (path / f"{number}.png").write_bytes(cv2.imencode(".png", frame)[1].tobytes())


@pytest.mark.parametrize("place", ["val", "images/val", "val/images"])
def test_of_several_pictures_of_a_name_those_of_the_same_part_are_taken(
    tmp_path: Path, imported: Any, place: str
) -> None:
    """Even though the training pictures come first in the alphabet, and there are small copies."""
    source = folder(tmp_path / "set", [], "annotations/instances_val.json", place)
    shaded(source / place.replace("val", "train"), 100)
    shaded(source / place / "small/copies", 200)
    np.testing.assert_array_equal(imported(source).take(np.arange(2)), [picture(2), picture(5)])


def test_pictures_beside_their_annotations_come_before_others(tmp_path: Path, imported: Any) -> None:
    source = folder(tmp_path / "set", [])
    shaded(source / "copies", 200)
    np.testing.assert_array_equal(imported(source).take(np.arange(2)), [picture(2), picture(5)])


def test_pictures_that_nothing_tells_apart_are_refused(tmp_path: Path, refused: Any) -> None:
    source = folder(tmp_path / "set", [], "annotations/all.json", "train")
    shaded(source / "val", 100)
    assert "its picture 2.png may be train/2.png or val/2.png" in refused(source)


def test_a_link_back_to_the_root_is_no_loop(tmp_path: Path, imported: Any) -> None:
    source = folder(tmp_path / "set", [], place="images")
    (source / "images/again").symlink_to(source)
    assert len(imported(source)) == 2


def test_parts_of_which_one_has_more_layers_share_a_file(tmp_path: Path) -> None:
    """Merged, or appended to the part that has more."""
    one = [annotation(1, 2, 7, segmentation=[square(2, 3, 12, 11)])]
    plate = annotation(2, 2, 3, segmentation=[square(4, 5, 14, 13)])
    few, many = folder(tmp_path / "few", one), folder(tmp_path / "many", [*one, plate])
    import_sources([few, many], tmp_path / "merged.h5")
    import_sources([many], tmp_path / "appended.h5")
    import_sources([few], tmp_path / "appended.h5", if_exists="append")
    for name, counts in (("merged.h5", [1, 0, 2, 0]), ("appended.h5", [2, 0, 1, 0])):
        store = FrameStore(tmp_path / name)
        assert store.schema.segmented == {"images": 4}
        assert [len(instances(found)) for found in store.maps(np.arange(4))] == counts


def test_one_file_of_several_is_given_by_name(tmp_path: Path, imported: Any, refused: Any) -> None:
    source = folder(tmp_path / "set", [], "annotations/one.json", "val")
    (source / "annotations/two.json").write_bytes((source / "annotations/one.json").read_bytes())
    assert "several files of annotations (one.json, two.json): give the one to import" in refused(source)
    assert len(imported(source / "annotations/two.json")) == 2


def test_what_is_only_boxed_is_warned_of(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", [annotation(1, 2, 7, bbox=[2, 3, 10, 8]), annotation(2, 2, 7, bbox=[1, 1, 4, 4])])
    done = import_sources([source], tmp_path / "out.h5")
    assert done.warnings == ["2 of 2 things have no outline: their box stands for it, so do not score masks."]


def test_things_of_pictures_that_are_not_listed_are_warned_of(tmp_path: Path) -> None:
    outline = [square(2, 3, 12, 11)]
    items = [annotation(n, image, 7, segmentation=outline) for n, image in enumerate((2, 9, 5, 9))]
    source = folder(tmp_path / "set", items)
    done = import_sources([source], tmp_path / "out.h5")
    [said] = done.warnings
    assert said == f"2 of 4 things are of pictures that {source / 'annotations.json'} does not list: they are left out."
    assert [len(instances(found)) for found in FrameStore(tmp_path / "out.h5").maps(np.arange(2))] == [1, 1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": []}, "names no pictures"),
        ({"categories": []}, "has 0 categories: a map tells 1 to 255 apart"),
        ({"categories": [{"id": n, "name": str(n)} for n in range(300)]}, "has 300 categories"),
        ({"categories": [{"id": 1, "name": "cup"}, {"id": 2, "name": "cup"}]}, "the same name"),
        ({"annotations": [{"id": 1}]}, "not in COCO's format (KeyError"),
        ({"annotations": [annotation(1, 2, 99, bbox=[0, 0, 9, 9])]}, "a category that is not listed"),
        ({"annotations": [annotation(1, 2, 7)]}, "annotation 1 has no outline that can be read"),
        ({"annotations": [annotation(1, 2, 7, segmentation={"counts": [3, 4]})]}, "add up to 7 of 600 pixels"),
        ({"annotations": [annotation(1, 2, 7, segmentation=[[1, 2, 3]])]}, "no outline that can be read"),
        (
            {"annotations": [annotation(1, 2, 7, segmentation={"counts": [W * H], "size": [W, H]})]},
            "its runs are of [30, 20] pixels, its picture is of [20, 30]",
        ),
        ({"annotations": [annotation(1, 2, 7, segmentation={"counts": [1e999]})]}, "no outline that can be read"),
        ({"images": [{"id": 2, "height": H, "width": W}]}, "not in COCO's format (KeyError: 'file_name')"),
        ({"images": [{"id": 2, "file_name": None}]}, "not in COCO's format (TypeError"),
        ({"images": [{"id": 1e999, "file_name": "2.png"}]}, "not in COCO's format (OverflowError"),
        ({"images": [{"id": 2, "file_name": "2.png", "height": 1e999, "width": W}]}, "has no height and width"),
        ({"images": [{"id": 2, "file_name": f"{n}.png"} for n in (2, 5)]}, "gives the id 2 to 2 images: give each"),
        ({"categories": [{"id": 7, "name": name} for name in "ab"]}, "gives the id 7 to 2 categories"),
        ({"images": [{"id": 2, "file_name": "2.png"}]}, "picture 2 has no height and width"),
        ({"images": [{"id": 2, "file_name": "gone.png", "height": H, "width": W}]}, "gone.png is missing"),
        ({"images": [{"id": 2, "file_name": "2.png", "height": W, "width": W}]}, "not of the size that it says"),
        (
            {"images": [{"id": n, "file_name": "2.png", "height": H, "width": W + n} for n in (0, 2)]},
            "pictures of 30 x 20 and of 32 x 20: bring them to one size with --size",
        ),
    ],
)
def test_what_cannot_be_kept_is_refused(tmp_path: Path, refused: Any, change: dict[str, Any], message: str) -> None:
    assert message in refused(folder(tmp_path / "set", **{"annotations": [], **change}))


def test_a_damaged_picture_is_left_out_when_told(tmp_path: Path) -> None:
    source = folder(tmp_path / "set", [annotation(1, 5, 7, segmentation=[square(2, 3, 12, 11)])])
    (source / "2.png").write_bytes(b"no picture")
    done = import_sources([source], tmp_path / "out.h5", skip_bad=True)
    assert done.frames == 1
    assert "2.png cannot be decoded" in done.skipped[0]
    [item] = instances(FrameStore(tmp_path / "out.h5").maps(np.array([0]))[0])
    assert item.box == (2, 3, 12, 11)


@given(st.lists(st.tuples(st.floats(-3, 18), st.floats(-3, 14)), min_size=3, max_size=7))
def test_a_pixel_is_inside_where_its_middle_is(corners: list[tuple[float, float]]) -> None:
    """As OpenCV finds it, point by point; what lies on an edge may be either."""
    polygon = np.array(corners)
    found = inside(polygon, (12, 16))
    drawn = polygon.astype(np.float32)
    if cv2.isContourConvex(drawn.reshape(-1, 1, 2)):
        for row, column in np.ndindex(12, 16):
            far = cv2.pointPolygonTest(drawn, (column + 0.5, row + 0.5), measureDist=True)
            assert abs(far) < 1e-3 or found[row, column] == (far > 0)
    np.testing.assert_array_equal(found, inside(polygon[::-1], (12, 16)))


def test_a_known_shape() -> None:
    triangle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    assert inside(triangle, (4, 5)).astype(int).tolist() == [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0], [0] * 5]


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_compressed_runs_are_pycocotools_own(seed: int, h: int, w: int) -> None:
    theirs = pytest.importorskip("pycocotools.mask", reason="pip install 'ssl-robot[detection]'")
    rng = np.random.default_rng(seed)
    mask = rng.random((h, w)) < rng.random()
    packed = theirs.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert sum(_numbers(packed["counts"])) == h * w
    for counts in (packed["counts"], packed["counts"].decode()):
        item = {"segmentation": {"counts": counts, "size": [h, w]}}
        np.testing.assert_array_equal(outlined(item, (h, w), (h, w)), mask)


def test_text_that_is_no_runs_is_damage() -> None:
    with pytest.raises(DamageError, match="annotation 4 has no outline"):
        outlined({"id": 4, "segmentation": {"counts": "???", "size": [4, 4]}}, (4, 4), (4, 4))


def test_another_json_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[1, 2]")
    with pytest.raises(InputError, match="is not in COCO's format"):
        Coco(tmp_path / "a.json", None, ())
