"""Read files of limited size, and write files atomically."""

import errno
import os
import secrets
import stat
from pathlib import Path


def read_file(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes, or raise an OSError.

    FIFOs and devices are refused, because reading from them might never end.
    """
    flag = getattr(os, "O_NONBLOCK", 0)  # so that opening a FIFO does not wait; 0 on Windows
    with open(path, "rb", opener=lambda path, flags: os.open(path, flags | flag)) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit} bytes", str(path))
    return content


def replace_files(folder: Path, files: dict[str, bytes]) -> None:
    """Write `files`, {name: content}, to `folder` under temporary names, then rename all of them.

    If the disk is full, no existing file changes. A symbolic link is replaced, not followed,
    because it may point into a shared cache. A device, such as /dev/null, raises an OSError.
    """
    for path in (folder / name for name in files):
        if not path.is_symlink() and (path.is_char_device() or path.is_block_device()):
            raise OSError(errno.EINVAL, "a device, not a regular file", str(path))
    partials = {folder / name: partial_of(folder / name) for name in files}
    try:
        for path, partial in partials.items():
            with open(partial, "xb") as file:  # not tempfile, which ignores the umask
                file.write(files[path.name])
                file.flush()
                os.fsync(file.fileno())
        for path, partial in partials.items():
            os.replace(partial, path)
    finally:
        for partial in partials.values():
            partial.unlink(missing_ok=True)


def partial_of(path: Path) -> Path:
    """Return a unique path beside `path` for a temporary file or folder."""
    # Many file systems limit a name to 255 bytes, so `path.name` is shortened.
    return path.with_name(f".{path.name[:50]}.{secrets.token_hex(4)}.partial")
