"""Files: written whole or not at all, read without pickle."""

import contextlib
import json
import os
import secrets
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
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # Opened so, and not by `tempfile`, it has the permissions that the umask leaves. Nothing else tells the umask
        # but setting it, which is of the whole process: threads that write at once would lose it.
        with open(temporary, "xb") as stream:
            write(stream)
        os.replace(temporary, path)
    except BaseException as error:
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


def open_folder(
    folder: str | Path, name: str, configuration: dict[str, Any], what: str, *, between: str = ", "
) -> Path:
    """Give a folder for the files of one configuration; what it holds is gone on with only if that is the same.

    **Arguments:** `name`: of the file in the folder that says the configuration; `what`: what the message calls that
    of other arguments; `between`: stands between the differences in it.

    **Raises:** `ValueError` where the folder holds another configuration, and says what differs; `OSError` where it
    cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"store: {folder} is not a folder that can be written ({error.strerror}).") from error
    path = folder / name
    wanted = json.loads(json.dumps(configuration))
    if not path.exists():
        if any(folder.glob("*.npz")):
            raise ValueError(f"store: {folder} holds other files and no {name}; choose another.")
        write_atomically(path, lambda stream: stream.write(json.dumps(wanted, indent=1).encode()))
        return folder
    try:
        kept = json.loads(path.read_text())
    except (ValueError, OSError) as error:
        raise ValueError(f"store: {path} cannot be read ({error}); choose another folder.") from error
    different = sorted(entry for entry in {*kept, *wanted} if kept.get(entry) != wanted.get(entry))
    if different:
        pairs = ((entry, _short(kept.get(entry)), _short(wanted.get(entry))) for entry in different)
        said = between.join(f"{entry}: {there} there, {now} now" for entry, there, now in pairs)
        raise ValueError(
            f"store: {folder} holds {what} ({said}). Choose another folder, or give the same arguments to go on with "
            "this one."
        )
    return folder


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}.."
