"""Files: written whole or not at all, read without pickle; what cannot be read is one `ValueError` that names it."""

import contextlib
import hashlib
import io
import os
import pickle
import secrets
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

# What the parsers of zip archives, of NumPy's and MATLAB's arrays and of pickles raise on bytes that are damaged or
# not theirs; RuntimeError with NotImplementedError and RecursionError.
_FOREIGN = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    SyntaxError,
    EOFError,
    StopIteration,
    OSError,
    MemoryError,
    struct.error,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    pickle.UnpicklingError,
)
_DIGEST = "digest"
# What a file may unpack to, in bytes: a few kilobytes can be made to claim any size.
MOST_BYTES = 2**32


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


@contextlib.contextmanager
def parsing(path: str | Path, what: str, *others: type[Exception]) -> Iterator[None]:
    """Name the file in whatever a parser of foreign bytes raises. Nothing but the parser belongs inside.

    **Arguments:** `what`: what the file should be; `others`: exceptions of that parser's own.

    **Raises:** `ValueError`.
    """
    try:
        yield
    except (*_FOREIGN, *others) as error:
        raise ValueError(
            f"{path}: this is not a readable {what} ({_brief(error)}); is the file complete? Copy or write it again."
        ) from error


def opened_zip(stream: IO[bytes]) -> zipfile.ZipFile:
    """Open a zip archive of the kind that NumPy and PyTorch write; to be called inside `parsing`."""
    archive = zipfile.ZipFile(stream)
    names = archive.namelist()
    if len(set(names)) < len(names):
        raise ValueError("two of its entries have one name")
    for info in archive.infolist():
        if info.flag_bits & 1:
            raise ValueError(f"{info.filename} is encrypted")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"{info.filename} is compressed by method {info.compress_type}, which is not known here")
    unpacked = sum(info.file_size for info in archive.infolist())
    if unpacked > MOST_BYTES:
        raise ValueError(f"its entries unpack to {unpacked} bytes, more than {MOST_BYTES}")
    return archive


class Unreadable:
    """Stands for an entry that is no array. Nobody may need it; whoever does, and so makes an array of it, learns why.

    **Arguments:** `reason`.
    """

    def __init__(self, reason: str):
        self.reason = reason

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        """Refuse, as NumPy asks for the array."""
        raise ValueError(self.reason)

    def __str__(self) -> str:
        return self.reason


def read_npz(path: str | Path, objects: Callable[[bytes], Any] | None = None) -> dict[str, Any]:
    """Read an `.npz` file entry by entry, without pickle.

    **Arguments:** `objects`: reads what an entry of Python objects holds; by default such entries are not read.

    **Returns:** arrays, and `Unreadable` for entries that are none.

    **Raises:** `FileNotFoundError` and other `OSError`; `ValueError` that names the file where it is damaged.
    """
    with open(path, "rb") as stream, parsing(path, ".npz file"):
        archive = opened_zip(stream)
        # Read to its end, an entry has been checked against its checksum before NumPy looks at it.
        return {name.removesuffix(".npy"): read_npy(archive.read(name), objects) for name in archive.namelist()}


def take_digest(path: str | Path, entries: dict[str, Any], *, needed: bool = True) -> None:
    """Take out of what `read_npz` gave the digest that `write_npz` added, and see that the rest is as it was then.

    **Raises:** `ValueError` that names the file.
    """
    kept = entries.pop(_DIGEST, None)
    if kept is None and needed:
        raise ValueError(f"{path}: this file was not written by this version of cyclax: it has no digest.")
    if kept is not None and (not isinstance(kept, np.ndarray) or str(kept) != _digest(entries)):
        raise ValueError(f"{path}: this file was changed after it had been written. Write it again.")


def write_npz(path: str | Path, arrays: Mapping[str, Any], *, compressed: bool = False) -> None:
    """Write arrays and a digest of them to an `.npz` file: `take_digest` sees whether they are still the same.

    **Raises:** `OSError` that names `path` and the remedy.
    """
    given = {name: np.asarray(array) for name, array in arrays.items()}
    given[_DIGEST] = np.array(_digest(given))
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, allow_pickle=False, **given)
    write_atomically(Path(path), lambda stream: stream.write(buffer.getbuffer()))


def read_npy(raw: bytes, objects: Callable[[bytes], Any] | None = None) -> Any:
    """Read one array as NumPy writes it; what is none is `Unreadable`. For `objects` see `read_npz`."""
    if not raw.startswith(np.lib.format.MAGIC_PREFIX):
        return Unreadable("it is no array of NumPy")
    try:
        if objects is not None and (pickled := _pickled_part(raw)) is not None:
            return objects(pickled)
        return np.lib.format.read_array(io.BytesIO(raw), allow_pickle=False)
    except _FOREIGN as error:
        never = "Object arrays" in str(error)
        return Unreadable("it holds Python objects, which are never unpickled" if never else _brief(error))


def _pickled_part(raw: bytes) -> bytes | None:
    """Give the pickle that stands where an array of Python objects has its numbers."""
    stream = io.BytesIO(raw)
    version = np.lib.format.read_magic(stream)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return stream.read() if header(stream)[2].hasobject else None


def _digest(arrays: Mapping[str, Any]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        if isinstance(array, Unreadable):
            return "none"
        # Types that NumPy lacks, such as bfloat16, come back as bare bytes, which have no order.
        kind = f"|V{array.dtype.itemsize}" if array.dtype.kind == "V" else array.dtype.str
        digest.update(f"{name} {kind} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()


def _brief(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}.."
