"""Whether a file is another one than before: cheap to ask, as often as wanted."""

from pathlib import Path
from typing import TypeAlias

FileStamp: TypeAlias = tuple[int, int, int] | None
"""Time of the last change, size and inode; None where there is no file."""


def file_stamp(path: Path) -> FileStamp:
    """Return the stamp of what a path leads to now: mounted volumes swap a symbolic link."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
