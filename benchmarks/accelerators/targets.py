"""The accelerators that are compiled for, none of which need be there: their compilers come as plugins of JAX.

The plugins are large, and would change what JAX finds at its start, so they live in a folder of their own, one below it
for each target, which only the processes that compile are shown.
"""

import importlib.metadata
import os
import re
from pathlib import Path
from typing import Any

VARIABLE = "CYCLAX_COMPILERS"
TITLES = {"cuda": "H100", "tpu": "TPU v5e"}
# What `jax.default_backend()` would say there.
BACKENDS = {"cuda": "gpu", "tpu": "tpu"}
_PACKAGES = {"cuda": "jax_plugins", "tpu": "libtpu"}
# As NVIDIA's data sheet has it, and as XLA asks for it: threads, registers and memory of a multiprocessor, how many of
# these, and the versions that code is made for.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_core: 233472 shared_memory_per_block_optin: 232448
  registers_per_core_limit: 65536 registers_per_block_limit: 65536 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  clock_rate_ghz: 1.98 memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84929347584
  cuda_compute_capability { major: 9 }
}
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 7 }
runtime_version { major: 12 minor: 8 patch: 0 }
"""


def folder(target: str, plugins: Path | str | None) -> Path | None:
    """Give the folder of a target's plugin, or None where it is not there."""
    place = Path(plugins or os.environ.get(VARIABLE) or "compilers").resolve() / target
    return place if (place / _PACKAGES[target]).is_dir() else None


def advice(target: str, plugins: Path | str | None = None) -> str:
    """Say what to install: the versions that belong to the JAX at hand."""
    jax = importlib.metadata.version("jax")
    if target == "tpu":
        wanted = re.search(r"libtpu\s*([=<>~][^;]*)", " ".join(importlib.metadata.requires("jax") or []))
        packages = f"'libtpu{wanted[1].strip()}'" if wanted else "libtpu"
    else:
        packages = f"jax-cuda12-plugin=={jax} jax-cuda12-pjrt=={jax} nvidia-cuda-nvcc-cu12"
    place = plugins or os.environ.get(VARIABLE) or "compilers"
    return f"No compiler for the {TITLES[target]}: pip install --no-deps --target {place}/{target} {packages}"


def environment(target: str, place: Path) -> dict[str, str]:
    """Give the environment of a process that compiles for a target, with its plugin in `place`."""
    new = {"JAX_PLATFORMS": "cpu", "PYTHONPATH": os.pathsep.join([str(place), os.environ.get("PYTHONPATH", "")])}
    # Nothing that is compiled here is to be found by others.
    new |= {"JAX_ENABLE_COMPILATION_CACHE": "false"}
    if target == "tpu":
        new |= {"TPU_SKIP_MDS_QUERY": "1", "TPU_ACCELERATOR_TYPE": "v5litepod-4", "TPU_WORKER_HOSTNAMES": "localhost"}
        new |= {"TPU_WORKER_ID": "0", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    else:
        nvcc = place / "nvidia" / "cuda_nvcc"
        # Without a GPU nothing can be timed: the first algorithm is taken.
        flags = f"--xla_gpu_autotune_level=0 --xla_gpu_cuda_data_dir={nvcc}"
        new |= {"XLA_FLAGS": flags, "PATH": os.pathsep.join([str(nvcc / "bin"), os.environ["PATH"]])}
        new |= {"CUDA_VISIBLE_DEVICES": "-1"}
    return os.environ | new


def devices(target: str) -> list[Any]:
    """Give devices to compile for; under `environment`."""
    import jax._src.xla_bridge as bridge
    from jax.experimental import topologies

    if target == "tpu":
        return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2").devices
    described = topologies.get_topology_desc(platform="cuda", target_config=_H100, topology="1x1x1").devices
    # There is no public way to say that CUDA is meant where JAX sees no GPU.
    canonical = bridge.canonicalize_platform
    bridge.canonicalize_platform = lambda name: "cuda" if name in ("gpu", "cuda") else canonical(name)
    return described
