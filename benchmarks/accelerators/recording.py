"""Kernels with what verbs call them with, so that they can be lowered again for devices that are not there."""

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

from cyclax.core.numerics import numerics


class Call(NamedTuple):
    """A kernel, and what it was called with: shapes and dtypes in place of arrays, whatever is no array as it is."""

    kernel: Any
    arguments: tuple
    options: dict
    double: bool  # whether 64 bits were allowed

    def on(self, sharding) -> "Call":
        """Give the call with its arrays laid out on devices, for which `lowered` then lowers it."""

        def placed(leaf):
            is_array = isinstance(leaf, jax.ShapeDtypeStruct)
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding) if is_array else leaf

        return self._replace(**{part: jax.tree.map(placed, getattr(self, part)) for part in ("arguments", "options")})

    def lowered(self, platforms: tuple[str, ...]):
        """Trace anew, and lower for platforms."""
        with numerics(self.double):
            if not isinstance(self.kernel, _FilterJit):
                return self.kernel.trace(*self.arguments, **self.options).lower(lowering_platforms=platforms)
            # Whatever is no array is fixed in these.
            arrays, others = eqx.partition((self.arguments, self.options), _is_shape)

            def called(arrays):
                arguments, options = eqx.combine(arrays, others)
                return eqx.filter(self.kernel.__wrapped__(*arguments, **options), eqx.is_array)

            return jax.jit(called).trace(arrays).lower(lowering_platforms=platforms)

    def bits(self) -> int:
        """Give the precision of its arrays."""
        leaves = filter(_is_shape, jax.tree.leaves((self.arguments, self.options)))
        return 64 if any(leaf.dtype == np.float64 for leaf in leaves) else 32


def _is_shape(leaf) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


_FilterJit: Any = type(eqx.filter_jit(lambda: None))


def _is_kernel(value: Any) -> bool:
    return isinstance(value, _FilterJit) or (hasattr(value, "trace") and hasattr(value, "lower"))


def _shapes(tree: Any) -> Any:
    """Copies, in effect: some arguments are donated."""
    arrays = jax.Array | np.ndarray | np.generic
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype) if isinstance(x, arrays) else x, tree)


@contextlib.contextmanager
def recording(modules: tuple[str, ...]) -> Iterator[dict[str, Call]]:
    """Note the first call of each kernel that modules of cyclax name, by `module.name`, until the end of the block."""
    calls: dict[str, Call] = {}

    def recorder(name: str, kernel: Any) -> Callable:
        @functools.wraps(kernel)
        def record(*arguments, **options):
            traced = any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((arguments, options)))
            if name not in calls and not traced:
                double = bool(jax.config.jax_enable_x64)
                calls[name] = Call(kernel, _shapes(arguments), _shapes(options), double)
            return kernel(*arguments, **options)

        return record

    # All are imported before any is changed, or one would import what the other records.
    homes = [importlib.import_module(f"cyclax.{name}") for name in modules]
    kernels = [(home, name, value) for home in homes for name, value in vars(home).items() if _is_kernel(value)]
    try:
        for home, name, kernel in kernels:
            label = f"{kernel.__module__}.{kernel.__name__}".removeprefix("cyclax.")
            setattr(home, name, recorder(label, kernel))
        yield calls
    finally:
        for home, name, kernel in kernels:
            setattr(home, name, kernel)
