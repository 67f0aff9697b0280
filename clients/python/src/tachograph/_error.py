"""What can go wrong: opening a ring, and reading one record of it."""

from __future__ import annotations


class RingError(Exception):
    """Any error of this package that is not the system's own `OSError`."""


class OpenError(RingError):
    """The ring could not be opened."""


class Missing(OpenError, FileNotFoundError):
    """There is no such file."""


class Untrusted(OpenError, PermissionError):
    """Somebody who is not to be trusted could change the file under a reader that maps it."""


class Nameless(OpenError):
    """The ring was handed over as a descriptor and has been replaced: whoever gave it has the new
    one."""


class Unsupported(OpenError):
    """This machine, or this Python, cannot read a ring without the danger of torn records."""


class FormatError(OpenError, ValueError):
    """The file is no ring, or not one that this version can read.

    `field` is the name in the format's description of what is wrong, `value` what it holds.
    """

    def __init__(self, field: str, value: int, reason: str = "") -> None:
        super().__init__(f"{field} cannot be {value:#x}" + (f": {reason}" if reason else ""))
        self.field = field
        self.value = value


class ReadError(RingError, LookupError):
    """The record could not be read; the class says why, `seq` which."""

    reason = "the record could not be read"

    def __init__(self, seq: int) -> None:
        super().__init__(f"{self.reason}: {seq}")
        self.seq = seq


class NotYet(ReadError):
    """It has not been published: its sequence is above the head."""

    reason = "the record has not been published"


class Overrun(ReadError):
    """The ring has moved past it."""

    reason = "the record has been overwritten"


class Lost(ReadError):
    """It is not there although the ring reaches further back, and never will be."""

    reason = "the record was lost"


class Corrupt(ReadError):
    """Its slot holds what no writer puts there."""

    reason = "the record's slot is damaged"
