"""Where rings live, and whom a reader trusts with a mapping.

The same rules as the recorder's: the usual places in the same order, and the same question to a
file's owner and mode. Whoever may write to a file may shorten it, and a process that then touches a
page which is gone dies of SIGBUS.
"""

from __future__ import annotations

import os
import stat

from ._error import Missing

# User ids of services: what distributions set aside for them, and what systemd gives out.
SERVICE_UIDS = (range(1, 1000), range(61184, 65520))
_OTHERS_WRITE = 0o022
_LANE_BYTES_MAX = 255


def ring_path(lane: str, run_dir: str | None) -> str:
    """The path of the ring `lane`: in `run_dir`, or in the first usual place that has one, the
    caller's own before the system's. Raises `Missing` when none has."""
    if not lane or "/" in lane or len(lane) > _LANE_BYTES_MAX:
        raise ValueError(f"no lane has the name {lane!r}")
    if run_dir is not None:
        return os.path.join(run_dir, f"{lane}.ring")
    places = usual_places(os.geteuid(), os.environ.get("XDG_RUNTIME_DIR"))
    for place in places:
        path = os.path.join(place, f"{lane}.ring")
        if os.path.exists(path):
            return path
    raise Missing(f"there is no ring {lane} in {', '.join(places)}")


def usual_places(uid: int, runtime_dir: str | None) -> list[str]:
    """`$XDG_RUNTIME_DIR/tachograph`, `/run/tachograph` and `/dev/shm/tachograph-UID`, the caller's
    own first; of root, `/run/tachograph` is its own."""
    places = ["/run/tachograph"]
    if runtime_dir is not None and os.path.isabs(runtime_dir):
        places.insert(1 if uid == 0 else 0, os.path.join(runtime_dir, "tachograph"))
    for owner in (uid, 0):
        place = f"/dev/shm/tachograph-{owner}"
        if place not in places:
            places.append(place)
    return places


def distrust(path: str, meta: os.stat_result) -> str | None:
    """Why the file could change in a way that hurts whoever maps it, if it could."""
    if meta.st_mode & _OTHERS_WRITE:
        return "its group or everybody may write to it"
    if meta.st_nlink > 1:
        return "it has another name as well"
    if meta.st_uid in (0, os.geteuid()) or _owns_a_system_directory(path, meta.st_uid):
        return None
    return "it belongs to another user"


def _owns_a_system_directory(path: str, uid: int) -> bool:
    """Whether `path` lies in a directory of the service `uid` that an administrator has set up: one
    that nobody else can write to, in a directory that only root can write to."""
    if not any(uid in uids for uids in SERVICE_UIDS):
        return False
    folder = os.path.dirname(path)
    above = os.path.dirname(folder)
    if not folder or not above:
        return False
    try:
        inner, outer = os.lstat(folder), os.lstat(above)
    except OSError:
        return False
    closed = all(
        stat.S_ISDIR(meta.st_mode) and not meta.st_mode & _OTHERS_WRITE for meta in (inner, outer)
    )
    return closed and inner.st_uid == uid and outer.st_uid == 0
