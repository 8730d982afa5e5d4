"""Small things written with HDF5's own calls: an episode has two dozen, and h5py's comfortable ones take 3x as long."""

from functools import cache
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from ssl_robot.datasets.layout import fixed

_COMPACT = 2**13  # bytes that may lie beside their description: one write instead of two


def put_attribute(group: h5py.Group, name: str, value: Any) -> None:
    """A number or text that the group does not have yet."""
    data = np.asarray(fixed(value))
    if data.dtype.kind == "U":  # the empty text, which HDF5 has only with a length of its own
        group.attrs[name] = value
        return
    kind = h5py.h5t.py_create(data.dtype, logical=True)
    h5py.h5a.create(group.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR)).write(data)


def put_numbers(group: h5py.Group, path: str, values: NDArray[Any]) -> None:
    """Numbers in one piece, to which none will be added."""
    compact = 0 < values.nbytes <= _COMPACT
    kind, space = h5py.h5t.py_create(values.dtype), h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(group.id, path.encode(), kind, space, dcpl=_in_one_piece(compact), lcpl=_on_the_way())
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values), kind)


@cache
def _on_the_way() -> Any:
    """Groups that a path names are made."""
    found = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    found.set_create_intermediate_group(True)
    return found


@cache
def _in_one_piece(compact: bool) -> Any:
    found = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    found.set_layout(h5py.h5d.COMPACT if compact else h5py.h5d.CONTIGUOUS)
    found.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    found.set_obj_track_times(False)
    return found
