"""Boxes and instances from maps of what each pixel shows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ssl_robot.arrays import Arrays
from ssl_robot.errors import InputError
from ssl_robot.segments import Instance, instances, mapped, segmented

SHAPE = (12, 15)
boxes = st.tuples(st.integers(0, 11), st.integers(0, 8), st.integers(1, 4), st.integers(1, 4))


def rectangle(left: int, top: int, width: int, height: int) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, np.bool_)
    mask[top : top + height, left : left + width] = True
    return mask


def told(items: list[Instance]) -> list[tuple[int, bool, bytes]]:
    return sorted((item.thing, item.crowd, item.mask.tobytes()) for item in items)


@given(box=boxes, thing=st.integers(1, 255))
def test_the_box_of_a_drawn_rectangle_is_the_rectangle(box: tuple[int, int, int, int], thing: int) -> None:
    left, top, width, height = box
    found = np.zeros((*SHAPE, 1), np.uint8)
    found[rectangle(*box)] = thing
    [item] = instances(found, least=1)
    assert item.thing == thing
    assert item.box == (left, top, left + width, top + height)
    assert not item.crowd
    np.testing.assert_array_equal(item.mask, rectangle(*box))


def test_what_is_hidden_does_not_count() -> None:
    """A bar behind a post is one thing in two pieces, from its first piece to its last."""
    found = np.zeros((*SHAPE, 1), np.uint8)
    found[4:6, 2:14] = 1
    found[:, 7:9] = 2
    bar, post = instances(found)
    assert (bar.thing, bar.box, int(bar.mask.sum())) == (1, (2, 4, 14, 6), 20)
    assert (post.thing, post.box) == (2, (7, 0, 9, 12))


@pytest.mark.parametrize(("least", "kept"), [(1, [1, 2]), (4, [1, 2]), (5, [1]), (7, [])])
def test_things_of_a_few_pixels_are_left_out(least: int, kept: list[int]) -> None:
    found = np.zeros((*SHAPE, 1), np.uint8)
    found[0, :6], found[1, :4] = 1, 2
    assert [item.thing for item in instances(found, least)] == kept


@given(
    st.lists(st.tuples(boxes, st.integers(1, 3), st.booleans()), max_size=8),
)
def test_a_map_keeps_things_whole_whatever_covers_them(
    drawn: list[tuple[tuple[int, int, int, int], int, bool]],
) -> None:
    items = [Instance(thing, rectangle(*box), crowd) for box, thing, crowd in drawn]
    found = mapped(items, SHAPE)
    assert found.shape[2] % 2 == 0
    assert told(instances(found, least=1)) == told(items)


def test_more_of_one_thing_than_a_number_can_count_go_on_in_another_pair() -> None:
    items = [Instance(1, np.arange(300).reshape(20, 15) == i) for i in range(300)]
    found = mapped(items, (20, 15))
    assert found.shape[2] == 4
    assert len(instances(found, least=1)) == 300


def test_nothing_is_a_map_too() -> None:
    found = mapped([], SHAPE)
    assert found.shape == (*SHAPE, 2)
    assert instances(found) == []


def test_frames_without_maps_are_refused_with_the_remedy(memory: type[Arrays]) -> None:
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(InputError, match=r"does not say what its pixels show: collect with --segmentation"):
        segmented(memory(images))
    known = memory(images, None, {}, ("cup",), np.zeros((2, 8, 8, 1), np.uint8))
    assert segmented(known) is known
    with pytest.raises(InputError, match="give both or neither"):
        memory(images, None, {}, ("cup",))
    with pytest.raises(InputError, match="do not fit frames"):
        memory(images, None, {}, ("cup",), np.zeros((2, 9, 8, 1), np.uint8))
    with pytest.raises(InputError, match="Nobody has said"):
        memory(images).maps(np.array([0]))
