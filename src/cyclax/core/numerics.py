"""The settings under which cyclax computes, whatever the user's own."""

import contextlib
from collections.abc import Iterator

import jax
import numpy as np


@contextlib.contextmanager
def numerics(double: bool = True) -> Iterator[None]:
    """Compute in float64 (or float32) by the ordinary rules, in this thread, until the end of the block.

    Settings of JAX and NumPy are global to those who set them, and here they would change results or raise: promotion
    that is strict or refused, checks for NaN (which says "not solved" here), transfers that are guarded. Overflow and
    NaN are silent in NumPy as they are in JAX, and looked for where they can arise.
    """
    with (
        jax.enable_x64(double),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.transfer_guard("allow"),
        np.errstate(all="ignore"),
    ):
        yield


@contextlib.contextmanager
def on_host() -> Iterator[None]:
    """Compute on the CPU what is little work in many calls, whatever the device: a call costs more than the work."""
    try:
        host = jax.local_devices(backend="cpu")[0]
    except RuntimeError:  # JAX_PLATFORMS leaves the CPU out
        yield
        return
    with jax.default_device(host):
        yield
