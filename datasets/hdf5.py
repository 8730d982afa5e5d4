"""Small things written and read with HDF5's own calls.

An episode has two dozen of them, and h5py's comfortable calls take up to 3x as long.
"""

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
    h5py.h5a.create(group.id, name.encode(), _kind(data.dtype, logical=True), _scalar()).write(data)


def put_numbers(group: h5py.Group, path: str, values: NDArray[Any]) -> None:
    """Numbers in one piece, to which none will be added."""
    compact = 0 < values.nbytes <= _COMPACT
    kind, space = _kind(values.dtype), h5py.h5s.create_simple(values.shape)
    dataset = h5py.h5d.create(group.id, path.encode(), kind, space, dcpl=_in_one_piece(compact), lcpl=_on_the_way())
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(values), kind)


def make_pictures(group: h5py.Group, path: str, rows: int, shape: tuple[int, ...], dtype: Any, raw: bool) -> Any:
    """Room for pictures, one to a chunk, of which there may be more later; returns HDF5's own handle."""
    space = h5py.h5s.create_simple((rows, *shape), (h5py.h5s.UNLIMITED, *shape))
    kind, plist = _kind(np.dtype(dtype)), _in_chunks(shape, raw, not raw and np.dtype(dtype).itemsize > 1)
    return h5py.h5d.create(group.id, path.encode(), kind, space, dcpl=plist, lcpl=_on_the_way())


def opened_group(parent: h5py.Group, name: str) -> Any:
    """HDF5's own handle of a group, which the functions below read from."""
    return h5py.h5g.open(parent.id, name.encode())


def attributes(group: Any) -> dict[str, Any]:
    """The numbers and texts of a group by their names, as h5py has them."""
    names: list[bytes] = []
    h5py.h5a.iterate(group, names.append)
    return {name.decode(): _attribute(group, name) for name in names}


def attribute(group: Any, name: str) -> Any:
    """A number or text of a group as h5py has it; ``None`` where there is none of that name."""
    return _attribute(group, name.encode()) if h5py.h5a.exists(group, name.encode()) else None


def _attribute(group: Any, name: bytes) -> Any:
    found = h5py.h5a.open(group, name)
    dtype = found.dtype
    one = found.get_space().get_simple_extent_type() == h5py.h5s.SCALAR
    if dtype.kind not in "biufS" or not one:  # as others may have written them
        return h5py.Group(group).attrs[name.decode()]
    data = np.empty((), dtype)
    found.read(data, _kind(dtype))
    return data[()]


def whole(group: Any, path: str) -> NDArray[Any]:
    """All the numbers of a data set.

    Raises:
        TypeError: If something else lies there.
    """
    found = h5py.h5o.open(group, path.encode())
    if not isinstance(found, h5py.h5d.DatasetID):
        raise TypeError(f"{path} is no data set")
    dtype = found.dtype
    if dtype.kind not in "biuf":
        return np.asarray(h5py.Dataset(found)[()])
    data = np.empty(found.shape, dtype)
    if data.size:
        found.read(h5py.h5s.ALL, h5py.h5s.ALL, data, _kind(dtype))
    return data


@cache
def _kind(dtype: np.dtype[Any], logical: bool = False) -> Any:
    return h5py.h5t.py_create(dtype, logical=logical)


@cache
def _scalar() -> Any:
    return h5py.h5s.create(h5py.h5s.SCALAR)


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


@cache
def _in_chunks(shape: tuple[int, ...], raw: bool, shuffle: bool) -> Any:
    found = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    found.set_chunk((1, *shape))
    if shuffle:
        found.set_shuffle()
    if not raw:
        found.set_deflate(4)  # what a program would use that adds pictures through HDF5; ours are packed before
    found.set_obj_track_times(False)
    return found
