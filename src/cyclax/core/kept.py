"""Compiled programs, kept in a folder for the next process."""

import hashlib
import os
import platform
import sys
from pathlib import Path

import jax
import jaxlib.version
from jax.experimental.compilation_cache.compilation_cache import reset_cache

# Where Linux tells what the CPU can do.
_CPU = Path("/proc/cpuinfo")


def keep_compiled(folder: str | os.PathLike[str] | None = None) -> Path:
    """Keep what JAX compiles, so that the next process need not compile it again.

    The first call of a verb is mostly compilation; with kept programs it is several times faster. This switches on
    JAX's own compilation cache, for all of this process, programs of others included; call it once, before the first
    verb. The command line does so by itself (`--no-cache`: not). Processes may share a folder, and it may be deleted
    at any time. An entry that is damaged is compiled again, with a warning of JAX.

    **Arguments:** `folder`: where to keep programs; by default what JAX has been told (`JAX_COMPILATION_CACHE_DIR`), or
    the user's cache folder: `$XDG_CACHE_HOME/cyclax` or `~/.cache/cyclax`, on macOS `~/Library/Caches/cyclax`, on
    Windows `%LOCALAPPDATA%\\cyclax\\cache`. Below it, each version of JAX and each kind of CPU has a folder of its own.

    **Returns:** the folder in use.

    **Raises:** `OSError` where the folder cannot be written.
    """
    told = jax.config.values["jax_compilation_cache_dir"]
    if folder is None and told:
        return Path(told)
    place = (cache_folder() if folder is None else Path(folder).expanduser()).absolute() / _kind()
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "give keep_compiled a folder that is writable"
        raise OSError(f"folder: {place} cannot be made ({error.strerror or error}); {remedy}.") from error
    jax.config.update("jax_compilation_cache_dir", str(place))
    # Many of the programs are small, and there are many of them.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    reset_cache()  # JAX decides at the first compilation whether there is a folder
    return place


def cache_folder() -> Path:
    """Give the folder for kept programs that is usual on this platform."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "cyclax" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "cyclax"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cyclax"


def _kind() -> str:
    """Name this JAX and this kind of CPU: programs of another may hold instructions that this one has not."""
    try:
        lines = _CPU.read_text().splitlines()
        features = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))})
    except OSError:
        features = [platform.processor()]
    cpu = hashlib.sha256("\n".join([platform.machine(), *features]).encode()).hexdigest()[:12]
    return f"jax-{jax.__version__}-{jaxlib.version.__version__}-{platform.machine()}-{cpu}"
