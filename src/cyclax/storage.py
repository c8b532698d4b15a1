"""Files: written whole or not at all, read without pickle."""

import contextlib
import os
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np


def write_atomically(path: Path, write: Callable[[IO[bytes]], Any]) -> None:
    """Write to a temporary name beside `path`, then rename: a crash never leaves half a file.

    **Raises:** `OSError` that names `path` and the remedy.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "wb") as stream:
            write(stream)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise OSError(
                f"{path}: cannot be written ({error.strerror or error}); choose a folder that exists and is writable."
            ) from error
        raise


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an `.npz` file, without pickle.

    **Raises:** `FileNotFoundError`; `ValueError` that names the file where it is broken or holds Python objects.
    """
    with open(path, "rb") as stream:
        try:
            with np.load(stream, allow_pickle=False) as archive:
                return dict(archive)
        except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path}: this is not a readable .npz file ({error}); is the file complete?") from error
