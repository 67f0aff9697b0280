"""One file of a ring: opened, checked, and mapped read-only.

Words are items of `memoryview.cast("Q")`. CPython gets an item by a memcpy of eight bytes into an
integer, of which compilers make one load, and every word lies at a multiple of eight: an item is
a value that the writer stored. So are the items of a slice with a stride, which are copied one by
one into a list or an array. A slice that is copied in one piece has no such promise word by word;
it is used only if the slot's first word, got as an item, was the right one before and after.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat

from . import _header, _place
from . import _layout as at
from ._error import Missing, OpenError, Untrusted
from ._machine import Fence, Sleeper, fence_of_this_machine

# What the kernel must refuse to all from then on, before a descriptor's memory is mapped: each
# seal, and one that says more and may stand in for it.
_SEALS = (
    ("F_SEAL_SHRINK", 0x0002, 0),
    ("F_SEAL_GROW", 0x0004, 0),
    ("F_SEAL_FUTURE_WRITE", 0x0010, 0x0008),
    ("F_SEAL_SEAL", 0x0001, 0),
)
_HEADER_READ_BYTES = 4096


class RingFile:
    """A mapped ring. All offsets are in words, already checked to lie inside of it."""

    def __init__(self, fd: int, path: str | None) -> None:
        """Takes over `fd`, which nobody else uses, and closes it if it is no ring."""
        try:
            self.fence: Fence = fence_of_this_machine()
            self.path = path
            meta = os.fstat(fd)
            self.identity = (meta.st_dev, meta.st_ino)
            block = os.pread(fd, _HEADER_READ_BYTES, 0)
            self.header = _header.decode(block, meta.st_size)
            # Whole words; no region ends behind the last of them.
            length = self.header.file_bytes // at.WORD * at.WORD
            self._map = mmap.mmap(fd, length, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        self.bytes = memoryview(self._map)
        self.words = self.bytes.cast("Q")
        self.doubles = self.bytes.cast("d")
        self._halves = self.bytes.cast("I")
        self.slots = self.header.slots_offset // at.WORD
        self.stride = self.header.slot_bytes // at.WORD
        self.mask = self.header.slot_count - 1
        self.directory = self.header.directory_offset // at.WORD
        self.entry_words = self.header.entry_bytes // at.WORD
        self._sleeper: Sleeper | None = None
        self._may_lock = True

    @classmethod
    def open(cls, path: str) -> RingFile:
        """Opens the ring at `path` if it is one that may be mapped. Raises `OpenError`."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        try:
            fd = os.open(path, flags)
        except FileNotFoundError as error:
            raise Missing(f"there is no ring {path}") from error
        try:
            meta = os.fstat(fd)
            if not stat.S_ISREG(meta.st_mode):
                raise OpenError(f"{path} is not a regular file")
            reason = _place.distrust(path, meta)
            if reason is not None:
                raise Untrusted(f"{path} is not to be trusted with a mapping: {reason}")
        except BaseException:
            os.close(fd)
            raise
        return cls(fd, path)

    @classmethod
    def of_sealed(cls, fd: int) -> RingFile:
        """Takes the memfd behind `fd`, which was handed over and stays the caller's. Its seals must
        say that it stays as long as it is; then its owner does not matter."""
        try:
            seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
        except OSError as error:
            raise Untrusted("the descriptor is of a file that cannot be sealed") from error
        for name, seal, more in _SEALS:
            if not seals & (seal | more):
                raise Untrusted(f"the descriptor is not to be trusted with a mapping: no {name}")
        # Opened anew: a lock belongs to what was opened once, and a reader that asked for the lock
        # through a duplicate of the writer's descriptor would take it away.
        try:
            own, may_lock = os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC), True
        except OSError:
            own, may_lock = os.dup(fd), False
        file = cls(own, None)
        file._may_lock = may_lock
        return file

    def notify(self) -> int:
        """The futex word, of 32 bits. Whoever saw it change sees the head that goes with it."""
        value = self._halves[2 * at.AT_NOTIFY]
        if self.fence is not None:
            self.fence()
        return int(value)

    def head(self) -> int:
        """The newest record; every record up to it is then found stable or gone."""
        head = self.words[at.AT_HEAD]
        if self.fence is not None:
            self.fence()
        return min(head, at.SEQUENCE_MAX)

    def oldest(self, head: int) -> int:
        """The lowest sequence that the ring can hold when its newest one is `head`."""
        return max(head - self.mask, 1, self.header.first_seq)

    def slot(self, seq: int) -> int:
        """Word at which the slot of `seq` begins."""
        return self.slots + (seq & self.mask) * self.stride

    def is_held(self) -> bool:
        """Whether a writer holds the inode's lock, whatever process name space it lives in. Where
        it cannot be asked, the heartbeat alone tells."""
        if not self._may_lock:
            return True
        try:
            fcntl.flock(self.fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        fcntl.flock(self.fd, fcntl.LOCK_UN)
        return False

    def sleep(self, notify: int, timeout_s: float) -> None:
        """Sleeps until `notify` is no longer what it was, or the time is over."""
        self.sleeper().sleep(notify, timeout_s)

    def sleeper(self) -> Sleeper:
        """What this file's readers sleep on."""
        if self._sleeper is None:
            pause_s = self.header.interval_ns / 4e9
            self._sleeper = Sleeper(self.fd, at.AT_NOTIFY, pause_s)
        return self._sleeper

    def close(self) -> None:
        """Ends all access. The mapping itself goes when the last array or view on it does."""
        if self._sleeper is not None:
            self._sleeper.close()
        self.words.release()
        self.doubles.release()
        self._halves.release()
        self.bytes.release()
        try:
            self._map.close()
        except BufferError:
            pass
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __del__(self) -> None:
        # Views may still be in use by a column that was found in this file: only the descriptor,
        # which they do not need, is given back here.
        fd = getattr(self, "fd", -1)
        if fd >= 0:
            os.close(fd)
            self.fd = -1
