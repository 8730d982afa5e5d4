"""Features on disk: a recording with what a reader made of its frames in their place (see FORMAT.md)."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ssl_robot.datasets.hdf5 import put_attribute, put_numbers
from ssl_robot.datasets.layout import (
    FEATURES,
    LIBRARY,
    VERSION,
    columns,
    demo_names,
    fixed,
    open_file,
    plain,
    schema_of,
    schema_text,
)
from ssl_robot.datasets.pixels import checksum
from ssl_robot.datasets.store import Demonstration, FrameStore
from ssl_robot.encoder import Layer
from ssl_robot.errors import InputError
from ssl_robot.frames import Schema, Seen
from ssl_robot.readers import Reader, pieces

IfExists = Literal["error", "overwrite"]
_ROOT = ("format", "format_version", "total", "created", "schema")  # attributes that are this file's own


def features_path(camera: str) -> str:
    """Where the features of a camera's frames lie within a demonstration."""
    return f"obs/{camera}_features"


@dataclass(frozen=True)
class FeatureFile:
    """A file of features, open for reading.

    Attributes:
        path: The file.
        attributes: Those of its root: of the recording, and what made the features.
        schema: What a row of the recording held.
        made: By camera: ``shape`` of one row, ``reader``, its ``key``, the ``layer``, the ``fingerprint`` of the
            frames, and the encoder's ``card`` where there is one.
        rows: Rows of each demonstration, by its name.
        episodes: How many episodes they are.
    """

    path: Path
    attributes: Mapping[str, Any]
    schema: Schema
    made: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, int]
    episodes: int

    @classmethod
    def opened(cls, path: str | Path) -> "FeatureFile":
        """The file, looked at.

        Raises:
            InputError: If it is missing, or holds no features.
        """
        path = Path(path)
        with open_file(path, FEATURES) as file:
            data = file["data"]
            attributes = {key: plain(value) for key, value in data.attrs.items()}
            rows = {name: int(data[name].attrs["num_samples"]) for name in demo_names(data)}
            shared = {name: bool(data[name].attrs["independent"]) for name in rows}
            episodes = sum(count if shared[name] else 1 for name, count in rows.items())
            return cls(path, attributes, schema_of(file), json.loads(attributes["features"]), rows, episodes)

    def read(self, camera: str | None = None) -> NDArray[np.float32]:
        """The features of every row, in the order of the recording, (rows, d) or (rows, c, h, w).

        Args:
            camera: Whose; the first one's if not given.

        Raises:
            InputError: If there are none of that camera, or they are not what was written.
        """
        camera = next(iter(self.made)) if camera is None else camera
        if camera not in self.made:
            raise InputError(f"{self.path} has no features of '{camera}': choose from {', '.join(self.made)}.")
        return np.concatenate([values for _, values in self._parts(features_path(camera))]).astype(np.float32)

    def column(self, path: str) -> NDArray[Any]:
        """The numbers at a place within every demonstration, as ``actions``, one entry per row."""
        return np.concatenate([values for _, values in self._parts(path)])

    def _parts(self, path: str) -> Iterator[tuple[str, NDArray[Any]]]:
        with open_file(self.path, FEATURES) as file:
            for name in self.rows:
                group = file["data"][name]
                values = group[path][()]
                if checksum(np.ascontiguousarray(values)) != json.loads(group.attrs["checksums"])[path]:
                    raise InputError(f"{self.path} is damaged in {name}/{path}: encode again.")
                yield name, values


def encode_store(
    source: Path,
    out: Path,
    readers: Mapping[str, Reader],
    layer: Layer = "output",
    if_exists: IfExists = "error",
) -> FeatureFile:
    """Write what readers make of every frame of a recording, with everything else that its rows hold but pictures.

    The file appears when it is whole and not before. What needs a whole episode at once is refused by its reader.

    Args:
        source: A recording of ours.
        out: The file to make.
        readers: What reads the frames of each camera.
        layer: What is read.
        if_exists: Refuse or replace a file that is already there.

    Raises:
        InputError: If the recording cannot be read, the file must not be written, or a reader has no such layer.
    """
    _check_place(source, out, if_exists)
    stores = {camera: FrameStore(source, camera) for camera in readers}
    first = next(iter(stores.values()))
    taken = {column.path for column in columns(first.schema)}
    for camera in readers:
        if features_path(camera) in taken:
            raise InputError(f"{source} has a label where features of '{camera}' would lie: import it without that.")
    with _beside(out) as file, tqdm(total=len(first) * len(stores), unit="frame", desc="encode") as bar:
        data = file.create_group("data")
        sums = _numbers(data, first)
        made = {}
        for camera, store in stores.items():
            shape = _features(data, store, readers[camera], layer, sums, bar)
            made[camera] = {"shape": shape, **_origin(readers[camera], layer, store)}
        for demo in first.demonstrations:
            put_attribute(data[demo.name], "checksums", json.dumps(sums[demo.name]))
        _masks(file, first.demonstrations)
        _describe(data, first, made)
    return FeatureFile.opened(out)


def _check_place(source: Path, out: Path, if_exists: IfExists) -> None:
    if not out.parent.is_dir():
        raise InputError(f"The folder {out.parent} does not exist: make it, or choose another --out.")
    if out.exists() and (if_exists == "error" or out.samefile(source)):
        remedy = "" if out.samefile(source) else ", or say --if-exists overwrite"
        raise InputError(f"{out} exists: choose another --out{remedy}.")


@contextmanager
def _beside(out: Path) -> Iterator[h5py.File]:
    """A file beside the one to make, that takes its place at the end."""
    partial = out.with_name(f"{out.name}.partial")
    try:
        file = h5py.File(partial, "w", libver=LIBRARY)
    except OSError as error:
        raise InputError(f"{partial} cannot be written ({error}): choose another --out.") from None
    try:
        with file:
            yield file
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


_Sums = dict[str, dict[str, int]]  # by demonstration and place


def _numbers(data: h5py.Group, store: FrameStore) -> _Sums:
    """A group for each demonstration, with all its numbers; returns their checksums."""
    found = {column.path: store.column(column.path) for column in columns(store.schema)}
    episode, sums = 0, {}
    for demo in store.demonstrations:
        count = demo.rows if demo.independent else 1
        episodes = slice(episode, episode + count)
        episode += count
        group = data.create_group(demo.name)
        for name, value in (*demo.facts.items(), ("num_samples", demo.rows), ("independent", demo.independent)):
            put_attribute(group, name, value)
        parts = {path: values[demo.first : demo.first + demo.rows] for path, values in found.items()}
        if demo.independent:
            parts |= {"seeds": store.seeds[episodes], "contents": store.contents[episodes]}
        else:
            put_attribute(group, "seed", store.seeds[episode - 1])
            put_attribute(group, "content", store.contents[episode - 1])
        for path, values in parts.items():
            put_numbers(group, path, values)
        sums[demo.name] = {path: checksum(np.ascontiguousarray(values)) for path, values in parts.items()}
    return sums


def _features(
    data: h5py.Group, store: FrameStore, reader: Reader, layer: Layer, sums: _Sums, bar: "tqdm[Any]"
) -> list[int]:
    """Write what a reader makes of a camera's frames, as it comes; returns the shape of one row."""
    path, row, shape = features_path(store.camera), 0, []
    starts = np.array([demo.first for demo in store.demonstrations])
    for piece in pieces(reader, store, layer):
        values: NDArray[np.float32] = piece.cpu().float().numpy()
        shape = list(values.shape[1:])
        inside = starts[(starts > row) & (starts < row + len(values))]
        for part in np.split(values, inside - row):
            demo = store.demonstrations[int(np.searchsorted(starts, row, side="right")) - 1]
            group, here = data[demo.name], row - demo.first
            if here == 0:
                group.create_dataset(path, (demo.rows, *shape), np.float32)
            group[path][here : here + len(part)] = part
            sums[demo.name][path] = checksum(np.ascontiguousarray(part), sums[demo.name].get(path, 0))
            row += len(part)
            bar.update(len(part))
    if reader.sees and not reader.labels:
        _finals(data, store, reader, layer)
    return shape


def _finals(data: h5py.Group, store: FrameStore, reader: Reader, layer: Layer) -> None:
    """What was seen after the last action, where that was kept."""
    for demo in store.demonstrations:
        frame = store.final(demo).get(store.camera) if not demo.independent else None
        if frame is not None:
            values = reader.read(Seen(frame[None]), layer).cpu().float().numpy()
            put_numbers(data[demo.name], f"final_{features_path(store.camera)}", values)


def _masks(file: h5py.File, demonstrations: Sequence[Demonstration]) -> None:
    """Splits as robomimic has them: the names of their demonstrations."""
    members: dict[str, list[bytes]] = {}
    for demo in demonstrations:
        for name in filter(None, str(demo.facts.get("masks") or "").split(",")):
            members.setdefault(name, []).append(demo.name.encode())
    for name, demos in members.items():
        file[f"mask/{name}"] = np.array(demos)


def _origin(reader: Reader, layer: Layer, store: FrameStore) -> dict[str, Any]:
    card = getattr(getattr(reader, "encoder", None), "card", None)
    about = {"reader": reader.name, "key": reader.key, "layer": layer, "fingerprint": store.fingerprint}
    return about | ({} if card is None else {"card": asdict(card)})


def _describe(data: h5py.Group, store: FrameStore, made: Mapping[str, Mapping[str, Any]]) -> None:
    kept = {name: value for name, value in store.attributes.items() if name not in _ROOT}
    data.attrs.update({name: fixed(value) for name, value in kept.items()})
    data.attrs.update({"format": fixed(FEATURES), "format_version": VERSION, "total": len(store)})
    data.attrs.update({"created": time.time(), "recording": fixed(store.path.name)})
    data.attrs["schema"] = np.bytes_(schema_text(store.schema))
    data.attrs["features"] = fixed(json.dumps(made))
    data.attrs.setdefault("env_args", fixed(json.dumps({"env_name": "", "type": 2, "env_kwargs": {}})))
