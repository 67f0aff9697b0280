"""What the machine gives to a reader: a fence between loads, and sleep until a word changes.

The slot protocol needs loads to stay in order. On x86-64 the processor keeps loads in order, and
the interpreter does not move one item access across another, so nothing is to be done. Elsewhere,
on AArch64 above all, a later load may be made before an earlier one: without a fence a reader could
take a record of which some words are already those of the next for a whole one. Python has no
fence; membarrier(2) is one, since the kernel executes a full memory barrier in it, and costs a
system call each time. Where it cannot be had, rings are not opened.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from typing import TYPE_CHECKING, Callable, Optional

from ._error import Unsupported

if TYPE_CHECKING:
    import ctypes

# Numbers of the system calls futex and membarrier.
_CALLS = {
    "x86_64": (202, 324),
    "aarch64": (98, 283),
    "riscv64": (98, 283),
    "loongarch64": (98, 283),
    "ppc64le": (221, 365),
    "s390x": (238, 356),
}
# Machines on which loads are not moved before earlier loads.
_ORDERED = ("x86_64", "s390x")

_FUTEX_WAIT = 0
# A barrier on all processors that run a process which registered for it, and on the caller's.
# Nobody need have registered; the one for the caller's own process does nothing when that has one
# thread.
_MEMBARRIER_CMD_QUERY = 0
_MEMBARRIER_CMD_GLOBAL_EXPEDITED = 2
_PROT_READ = 1
_MAP_SHARED = 1

# Longest sleep of one call, so that a reader of a damaged ring looks around from time to time.
_SLEEP_MAX_S = 3600.0

Fence = Optional[Callable[[], None]]


def _machine() -> str:
    return platform.machine()


def _libc() -> ctypes.CDLL:
    import ctypes

    # A CDLL, and not a PyDLL: the interpreter's lock is given back while a call lasts.
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    return libc


def fence_of_this_machine() -> Fence:
    """A call that keeps the loads before it before the loads after it; None where none is needed.

    Raises `Unsupported` on a machine that needs one and has none, or that loads a word in two
    parts.
    """
    if sys.maxsize < 1 << 32:
        raise Unsupported("a 32-bit interpreter does not load a word of 64 bits at once")
    if _machine() in _ORDERED:
        return None
    return membarrier()


def membarrier() -> Callable[[], None]:
    """membarrier(2) as a fence of the calling thread."""
    if _machine() not in _CALLS:
        raise Unsupported(f"no fence is known on {_machine()}; use the C client")
    import ctypes

    number = ctypes.c_long(_CALLS[_machine()][1])
    call = _libc().syscall
    zero = ctypes.c_int(0)
    command = ctypes.c_int(_MEMBARRIER_CMD_GLOBAL_EXPEDITED)
    offered = call(number, ctypes.c_int(_MEMBARRIER_CMD_QUERY), zero, zero)
    if offered < 0 or not offered & _MEMBARRIER_CMD_GLOBAL_EXPEDITED:
        raise Unsupported(
            "loads need a fence here and membarrier(2) is not to be had; use the C client"
        )

    def fence() -> None:
        call(number, command, zero, zero)

    return fence


class Sleeper:
    """Sleeps on the futex word of one file.

    The kernel knows the word by its place in the file, so a mapping of the header's page of its own
    does, whose address is known, and the big mapping needs no address.
    """

    def __init__(self, fd: int, word: int, pause_s: float) -> None:
        self._pause_s = pause_s
        self._address = 0
        self._bytes = os.sysconf("SC_PAGE_SIZE")
        numbers = _CALLS.get(_machine())
        try:
            import ctypes

            self._ctypes = ctypes
            self._libc = _libc()
            if numbers is None or word * 8 + 4 > self._bytes:
                return
            self._number = ctypes.c_long(numbers[0])
            mmap = self._libc.mmap
            mmap.restype = ctypes.c_void_p
            mmap.argtypes = [
                ctypes.c_void_p,
                ctypes.c_size_t,
                ctypes.c_int,
                ctypes.c_int,
                ctypes.c_int,
                ctypes.c_long,
            ]
            self._libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
            address = mmap(None, self._bytes, _PROT_READ, _MAP_SHARED, fd, 0)
        except (ImportError, OSError, AttributeError):
            return
        if address not in (None, 2 ** (8 * ctypes.sizeof(ctypes.c_void_p)) - 1):
            self._address = address
            self._word = ctypes.c_void_p(address + word * 8)

            class Timespec(ctypes.Structure):
                _fields_ = [("tv_sec", ctypes.c_int64), ("tv_nsec", ctypes.c_int64)]

            self._timespec = Timespec

    @property
    def by_futex(self) -> bool:
        """Whether the kernel wakes the sleeper; otherwise it looks again every quarter interval."""
        return self._address != 0

    def sleep(self, value: int, timeout_s: float) -> None:
        """Sleeps until the word is not `value`, somebody wakes its sleepers, or the time is over.

        May return early; whoever calls looks again. Other threads of the interpreter run meanwhile.
        """
        timeout_s = min(timeout_s, _SLEEP_MAX_S)
        if not self._address:
            time.sleep(min(timeout_s, self._pause_s))
            return
        c = self._ctypes
        seconds = int(timeout_s)
        limit = self._timespec(seconds, int((timeout_s - seconds) * 1e9))
        futex_wait, expected = c.c_int(_FUTEX_WAIT), c.c_uint32(value)
        result = self._libc.syscall(
            self._number, self._word, futex_wait, expected, c.byref(limit), None, c.c_int(0)
        )
        # A kernel or sandbox that does not let us: from now on by the clock.
        if result < 0 and c.get_errno() in (1, 14, 22, 38):  # EPERM, EFAULT, EINVAL, ENOSYS
            self.close()
            time.sleep(min(timeout_s, self._pause_s))

    def close(self) -> None:
        """Gives the mapping back; from then on it sleeps by the clock."""
        address, self._address = self._address, 0
        if address:
            self._libc.munmap(address, self._bytes)

    def __del__(self) -> None:
        self.close()
