import numpy as np
import pytest

from ssl_robot.errors import InputError
from ssl_robot.frames import Label
from ssl_robot.probing.classes import classes
from ssl_robot.splits import split

N = 60


def frames(memory, values, name="class", width=1):
    images = np.random.default_rng(0).integers(0, 256, (N, 4, 4, 3), np.uint8)
    return memory(images, None, {name: (Label.plain(name, width), np.asarray(values, float).reshape(N, width))})


def test_classes_are_counted_from_zero_whatever_the_label_says(memory) -> None:
    found = classes(frames(memory, np.arange(N) % 3 * 5 - 5), "class")
    assert found.values.tolist() == [-5, 0, 5]
    assert found.places.tolist() == [i % 3 for i in range(N)]


def test_one_number_of_several_is_named_by_its_component(memory) -> None:
    values = np.column_stack([np.arange(N) % 2, np.linspace(0, 1, N)])
    found = classes(frames(memory, values, "info", 2), "info:0")
    assert (found.name, len(found.values)) == ("info:0", 2)


def test_the_commonest_class_is_that_of_the_training_rows(memory) -> None:
    data = frames(memory, np.arange(N) % 2)
    parts = split(data)
    values = np.zeros(N)
    values[parts.train] = 1
    assert classes(frames(memory, values), "class").commonest(parts) == 1


@pytest.mark.parametrize(
    ("values", "width", "target", "sentence"),
    [
        (np.zeros(N), 1, "class", "no classes"),
        (np.linspace(0, 1, N), 1, "class", "no classes"),
        (np.full(N, np.nan), 1, "class", "not known in 60 row"),
        (np.zeros(2 * N), 2, "class", "say which is the class, as class:0"),
        (np.zeros(2 * N), 2, "class:7", "say which is the class, as class:0"),
        (np.arange(N) % 2, 1, "kind", "no label 'kind'"),
    ],
)
def test_what_is_no_class_is_refused(memory, values, width, target, sentence) -> None:
    with pytest.raises(InputError, match=sentence):
        classes(frames(memory, values, width=width), target)
