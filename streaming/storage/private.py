"""Files and folders that nobody but the server's own user may read, whatever the umask."""

from __future__ import annotations

import os
from pathlib import Path

#: Of files, and of folders.
FILE_MODE, FOLDER_MODE = 0o600, 0o700


def make_folder(path: Path) -> None:
    """Make a folder, and missing ones above it; one that exists stays as it is."""
    if path.is_dir():
        return
    make_folder(path.parent)
    try:
        path.mkdir(FOLDER_MODE)
    except FileExistsError:
        if path.is_dir():  # another process was first
            return
        raise
    path.chmod(FOLDER_MODE)  # the umask may have taken more


def make_file(path: Path) -> None:
    """Make an empty file; one that exists keeps its content and gets the mode."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        if os.fstat(descriptor).st_mode & 0o777 != FILE_MODE:
            os.fchmod(descriptor, FILE_MODE)
    finally:
        os.close(descriptor)
