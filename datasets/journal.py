"""A file that is changed all at once or not at all, whatever kills its writer.

HDF5 rewrites parts of a file in no order that would keep it readable in between. What lies beyond the end of the last
commit cannot hurt and is written at once; what changes before it is held in memory, written to a journal beside the
file, and only then put in its place. A writer that dies leaves either the old file or a whole journal, which says what
it replaces, so that it is never applied to another file that took the place of its own.

This is for processes that die. Nothing waits for the disk: after a power cut, the last seconds may be lost.
"""

import contextlib
import errno
import fcntl
import io
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ssl_robot.errors import InputError

_PAGE = 4096
_BEGINNING = 2**16
_MAGIC = b"ssl_robot journal 2\n"
_HEAD = struct.Struct("<QI")  # bytes that the file must have, and CRC-32 of the pieces
_PIECE = struct.Struct("<QQ")  # place and length
_LOCKLESS = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP)  # some network file systems


class _Piece(NamedTuple):
    """A change: what is at a place of the file, and what shall be."""

    place: int
    old: bytes
    new: bytes


def _journal(path: Path) -> Path:
    return path.with_name(f"{path.name}.journal")


class JournaledFile(io.RawIOBase):
    """The file-like object that HDF5 writes through.

    Args:
        path: The file; made if it does not exist.

    Raises:
        InputError: If another process is writing it.
        OSError: If it cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._place, self._dead = path, 0, False
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(self._fd, path)
            recover(path, self._fd)
        except BaseException:
            os.close(self._fd)
            raise
        self._committed = self._end = os.fstat(self._fd).st_size
        if not self._end:  # HDF5 cannot be stopped in the middle of beginning a file: try first whether there is room
            self._try_room()
        self._pages: dict[int, bytearray] = {}

    def _try_room(self) -> None:
        try:
            _write_all(self._fd, bytes(_BEGINNING))
        except OSError:
            os.close(self._fd)
            self._path.unlink()
            raise
        os.ftruncate(self._fd, 0)

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, place: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place; only the start and the end are counted from."""
        self._place = place + (self._end if whence == os.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        """Where the next read or write begins."""
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """What was written last, committed or not; zeros beyond the end."""
        view = memoryview(buffer).cast("B")
        first, last = self._place, self._place + len(view)
        found = os.preadv(self._fd, [view], first)
        view[found:] = bytes(len(view) - found)
        if self._pages:
            for number in range(first // _PAGE, -(-min(last, self._committed) // _PAGE)):
                page = self._pages.get(number)
                if page is not None:
                    start, end = max(first, number * _PAGE), min(last, number * _PAGE + len(page))
                    view[start - first : end - first] = page[start - number * _PAGE : end - number * _PAGE]
        self._place = last
        return len(view)

    def write(self, data: memoryview) -> int:  # type: ignore[override]
        """Beyond the last commit at once, before it on the next."""
        view = memoryview(data).cast("B")
        place, self._place = self._place, self._place + len(view)
        if self._dead:
            return len(view)
        held = max(0, min(len(view), self._committed - place))
        if held:
            self._hold(place, view[:held])
        if held < len(view):
            written = os.pwrite(self._fd, view[held:], place + held)
            if written < len(view) - held:  # the disk is nearly full: the rest says so
                os.pwrite(self._fd, view[held + written :], place + held + written)
        self._end = max(self._end, self._place)
        return len(view)

    def _hold(self, place: int, view: memoryview) -> None:
        while len(view):
            number, offset = divmod(place, _PAGE)
            page = self._pages.get(number)
            if page is None:
                length = min(_PAGE, self._committed - number * _PAGE)
                page = self._pages[number] = bytearray(os.pread(self._fd, length, number * _PAGE))
            piece = view[: len(page) - offset]
            page[offset : offset + len(piece)] = piece
            place, view = place + len(piece), view[len(piece) :]

    def truncate(self, size: int | None = None) -> int:
        """Where HDF5 says the file ends; what lies beyond is cut off when it is closed."""
        self._end = self._place if size is None else size
        return self._end

    def commit(self) -> None:
        """Put everything written so far in its place; a process that dies here has done so or can be helped to.

        Raises:
            OSError: If there is no room; the file is as it was, or the journal is whole.
        """
        if self._dead:
            return
        if os.fstat(self._fd).st_size < self._end:  # what HDF5 reserved and did not fill
            os.ftruncate(self._fd, self._end)
        if self._pages:
            pieces = [
                _Piece(number * _PAGE, os.pread(self._fd, len(page), number * _PAGE), bytes(page))
                for number, page in sorted(self._pages.items())
            ]
            journal = _journal(self._path)
            try:
                _write_journal(journal, self._end, pieces)
            except OSError:
                journal.unlink(missing_ok=True)
                raise
            self._committed = self._end  # from here on the journal counts, and needs all that was written
            _apply(self._fd, pieces)
            journal.unlink()
            self._pages.clear()
        self._committed = self._end

    def move(self, path: Path) -> None:
        """Take the place of another file, all at once; to be called when everything is committed."""
        self._path = self._path.replace(path)

    def abandon(self) -> None:
        """Forget what was not committed, and all that is written from now on."""
        self._pages.clear()
        self._dead = True

    def close(self) -> None:
        """Close the file at its last commit, without what lies beyond."""
        if not self.closed:
            os.ftruncate(self._fd, self._committed)
            os.close(self._fd)
        super().close()


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InputError(f"{path} is in use by another process: wait for it, or choose another file.") from None
    except OSError as error:
        if error.errno not in _LOCKLESS:
            raise


def unused(path: Path) -> None:
    """Make sure that no other process writes a file; one that is missing or cannot be read passes.

    Raises:
        InputError: If one does.
    """
    try:
        fd = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        _lock(fd, path)
    finally:
        os.close(fd)


def _write_journal(path: Path, end: int, pieces: list[_Piece]) -> None:
    body = b"".join(_PIECE.pack(place, len(new)) + old + new for place, old, new in pieces)
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    try:
        _write_all(fd, _MAGIC + _HEAD.pack(end, zlib.crc32(body)) + body)
    finally:
        os.close(fd)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(fd, view) :]


def _apply(fd: int, pieces: list[_Piece]) -> None:
    for piece in pieces:
        os.lseek(fd, piece.place, os.SEEK_SET)
        _write_all(fd, piece.new)


def recover(path: Path, fd: int | None = None) -> None:
    """Finish what a writer that died had begun; nothing happens while a writer is at work.

    Args:
        path: The file.
        fd: It, open and locked for writing; opened here if not given.

    Raises:
        InputError: If there is something to finish and the file may not be changed.
    """
    journal = _journal(path)
    if not journal.is_file():
        return
    if fd is not None:
        _finish(journal, fd)
        return
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError as error:
        raise InputError(
            f"The recorder of {path} was killed while it wrote, and {journal.name} cannot be applied "
            f"({error.strerror}): make both writable once."
        ) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _finish(journal, fd)
    except BlockingIOError:
        pass  # its writer is alive, or another reader is at it: they will finish
    finally:
        os.close(fd)


def _finish(journal: Path, fd: int) -> None:
    try:
        data = journal.read_bytes()
    except FileNotFoundError:  # somebody was faster
        return
    start = len(_MAGIC) + _HEAD.size
    if data.startswith(_MAGIC) and len(data) >= start:
        end, check = _HEAD.unpack(data[len(_MAGIC) : start])
        body = data[start:]
        if check == zlib.crc32(body):  # one that is not whole was never begun to be applied
            pieces = _unpacked(body)
            if os.fstat(fd).st_size >= end and all(_fits(fd, piece) for piece in pieces):
                _apply(fd, pieces)
    with contextlib.suppress(OSError):  # applied twice, it does no harm
        journal.unlink(missing_ok=True)


def _fits(fd: int, piece: _Piece) -> bool:
    """Whether a change belongs to this file: each byte is what it was, or what it is to be."""
    now, old, new = (
        np.frombuffer(data, np.uint8) for data in (os.pread(fd, len(piece.new), piece.place), piece.old, piece.new)
    )
    return len(now) == len(new) and bool(((now == old) | (now == new)).all())


def _unpacked(body: bytes) -> list[_Piece]:
    pieces, at = [], 0
    while at < len(body):
        place, length = _PIECE.unpack_from(body, at)
        at += _PIECE.size
        pieces.append(_Piece(place, body[at : at + length], body[at + length : at + 2 * length]))
        at += 2 * length
    return pieces
