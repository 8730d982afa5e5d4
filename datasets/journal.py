"""A file that is changed all at once or not at all, whatever kills its writer.

HDF5 rewrites parts of a file in no order that would keep it readable in between. What lies beyond the end of the last
commit cannot hurt and is written at once; what changes before it is held in memory, written to a journal beside the
file, and only then put in its place. A writer that dies leaves either the old file or a whole journal.
"""

import fcntl
import io
import os
import struct
import zlib
from pathlib import Path

from ssl_robot.errors import InputError

_PAGE = 4096
_BEGINNING = 2**16
_MAGIC = b"ssl_robot journal 1\n"
_PIECE = struct.Struct("<QQ")  # place and length
_CHECK = struct.Struct("<I")


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
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._fd)
            raise InputError(f"{path} is being written by another process: wait for it, or choose another.") from None
        recover(path, self._fd)
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
        """Put everything written so far in its place; a process that dies here has done so or can be helped to."""
        if self._dead:
            return
        if self._pages:
            pieces = [(number * _PAGE, bytes(page)) for number, page in sorted(self._pages.items())]
            journal = _journal(self._path)
            fd = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            try:
                _write_all(fd, _packed(pieces))
            finally:
                os.close(fd)
            _apply(self._fd, pieces)
            journal.unlink()
            self._pages.clear()
        self._committed = self._end

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


def _packed(pieces: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(_PIECE.pack(place, len(data)) + data for place, data in pieces)
    return _MAGIC + _CHECK.pack(zlib.crc32(body)) + body


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[os.write(fd, view) :]


def _apply(fd: int, pieces: list[tuple[int, bytes]]) -> None:
    for place, data in pieces:
        os.pwrite(fd, data, place)


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
        pass  # its writer is alive, and will finish it
    finally:
        os.close(fd)


def _finish(journal: Path, fd: int) -> None:
    data = journal.read_bytes()
    start = len(_MAGIC) + _CHECK.size
    body = data[start:]
    if (
        data.startswith(_MAGIC)
        and len(data) >= start
        and _CHECK.unpack(data[len(_MAGIC) : start])[0] == zlib.crc32(body)
    ):
        _apply(fd, _unpacked(body))
    journal.unlink(missing_ok=True)  # one that is not whole was never begun to be applied


def _unpacked(body: bytes) -> list[tuple[int, bytes]]:
    pieces, at = [], 0
    while at < len(body):
        place, length = _PIECE.unpack_from(body, at)
        at += _PIECE.size
        pieces.append((place, body[at : at + length]))
        at += length
    return pieces
