"""Every kernel of the search lowers for GPUs and TPUs, and calls no library but those named here.

Nothing is compiled for them, let alone run: this machine needs none. Public verbs run once on small problems, the
kernels that they call are recorded with their arguments, traced again as on an accelerator, and exported.
"""

import re

import jax
import jax.export
import numpy as np
import pytest
from benchmarks.accelerators.recording import recording
from conftest import slow

import cyclax as cx
from cyclax.core.numerics import numerics

PLATFORMS = ("cuda", "rocm", "tpu")
MODULES = (
    "search.driver",
    "search.lanes",
    "search.rows",
    "search.starts",
    "paths.follow",
    "grids.cells",
    "grids.orbit_layers",
    "maps.orbits",
)
# What elimination above 16 states calls; all else is arithmetic. (For TPUs, float64 LU is exported but not compiled.)
LIBRARIES = re.compile(r"(cu|hip)solver_getrf|\w*lu_pivots_to_permutation|(cu|hip)blas_\w*trsm|LuDecomposition")


@pytest.mark.parametrize("M", [2, slow(10), slow(20)])
def test_kernels_are_exported(monkeypatch, M):
    model = cx.PLRNN.random(M, key=jax.random.key(M), gain=1.2)
    with recording(MODULES) as recorded:
        cx.find_cycles(model, 2, key=0, finder=cx.SCYFI(starts=64, lanes=16), progress=False)
        cx.find_cycles(model, 1, key=0, finder=cx.PathFollowing(paths=8), progress=False)
        cx.scan(model, {"A[0]": np.linspace(0.1, 0.3, 6)}, 2, key=0, starts=4, orbit_steps=8, longest_period=4, cells=4)
    kernels = (
        "search.lanes.advance",
        "search.starts.drawn_starts",
        "search.rows.drawn_items",
        "search.rows.advance_rows",
    )
    others = "paths.walk.advance", "grids.orbit_layers._run"
    assert {*kernels, *others} <= set(recorded)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    libraries: set[str] = set()
    for name, call in recorded.items():
        call.kernel.clear_cache()
        called = set(re.findall(r"custom_call @(\w+)", call.lowered(PLATFORMS).as_text()))
        unsafe = [jax.export.DisabledSafetyCheck.custom_call(target) for target in called]
        with numerics():
            exported = jax.export.export(call.kernel, platforms=PLATFORMS, disabled_checks=unsafe)(
                *call.arguments, **call.options
            )
        assert exported.platforms == PLATFORMS, name
        called = set(re.findall(r"custom_call @(\w+)", str(exported.mlir_module()))) - {"Sharding"}
        assert {library for library in called if not LIBRARIES.match(library)} == set(), name
        libraries |= called
        call.kernel.clear_cache()  # or others would be given what was traced for a GPU
    assert bool(libraries) == (M > 16)
