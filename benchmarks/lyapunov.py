"""Speed of Lyapunov spectra: `python -m benchmarks.lyapunov [--quick] [--many]`. Writes `results/lyapunov.md`.

The whole spectrum of a random PLRNN (the first 20 exponents for M = 500), for 1 and for 256 initial states, in steps a
second, by cyclax and by the same algorithm as a plain NumPy loop (state, explicit Jacobian, Householder's QR by LAPACK)
and as a numba loop (all cores; the product skips closed gates, the QR is LAPACK's, or modified Gram-Schmidt with two
sweeps where that is faster). Then M = 200 with 5 exponents, beside published times.

`--many`: 10^4 networks of M = 20 at once, all 20 exponents: for a GPU; prints the time, and writes nothing.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the threads of numba would be slowed by those of BLAS

import jax
import numba
import numpy as np

import cyclax as cx
from cyclax.lyapunov.frames import random_frame

RESULTS = Path(__file__).resolve().parent / "results" / "lyapunov.md"
# States, exponents. The whole spectrum where a plain loop can still do it in a minute.
SIZES = [(3, 3), (20, 20), (100, 100), (500, 20)]
BATCHES = (1, 256)
SECONDS = 3.0  # each contestant runs about as long: what a call costs beside its steps should not be seen
# Up to this many vectors, loops of Gram-Schmidt beat LAPACK's QR in numba (measured).
GRAM_SCHMIDT_UP_TO = 8


def network(M: int) -> cx.PLRNN:
    """Give a random network whose orbits stay bounded; from M = 20 on, gates open and close."""
    rng = np.random.default_rng(M)
    W = rng.normal(size=(M, M)) / np.sqrt(M)
    # An inhibitory mean keeps the units from growing together: with 0.8 / M, three of these networks diverge. About a
    # quarter of the gates are open.
    return cx.PLRNN(A=rng.uniform(0.2, 0.7, M), W=W - 2.0 / M, h=rng.normal(size=M))


def plain(A, W, h, z, Q, steps: int):
    """Run one orbit in NumPy."""
    total = np.zeros(Q.shape[1])
    for _ in range(steps):
        gates = z > 0
        J = np.diag(A) + W * gates
        z = A * z + W @ (z * gates) + h
        Q, R = np.linalg.qr(J @ Q)
        total += np.log(np.abs(np.diag(R)))
    return total / steps, z, Q


@numba.njit(fastmath={"contract", "nsz", "arcp"})
def _one(A, W, h, z, Q, steps, loops):
    M, n = Q.shape
    total = np.zeros(n)
    V, following = np.empty((M, n)), np.empty(M)
    for _ in range(steps):
        if M <= 32:
            for i in range(M):
                value = A[i] * z[i] + h[i]
                for c in range(n):
                    V[i, c] = A[i] * Q[i, c]
                for j in range(M):
                    if z[j] > 0:
                        value += W[i, j] * z[j]
                        for c in range(n):
                            V[i, c] += W[i, j] * Q[j, c]
                following[i] = value
            z[:] = following
        else:
            opened = np.flatnonzero(z > 0)
            part = np.ascontiguousarray(W[:, opened])
            V = part @ np.ascontiguousarray(Q[opened])
            for i in range(M):
                for c in range(n):
                    V[i, c] += A[i] * Q[i, c]
            z[:] = A * z + part @ z[opened] + h
        if loops:
            for _sweep in range(2):
                for i in range(n):
                    norm = 0.0
                    for r in range(M):
                        norm += V[r, i] * V[r, i]
                    norm = np.sqrt(norm)
                    total[i] += np.log(norm)
                    for r in range(M):
                        V[r, i] /= norm
                    for j in range(i + 1, n):
                        dot = 0.0
                        for r in range(M):
                            dot += V[r, i] * V[r, j]
                        for r in range(M):
                            V[r, j] -= dot * V[r, i]
            Q[:] = V
        else:
            frame, R = np.linalg.qr(V)
            for i in range(n):
                total[i] += np.log(abs(R[i, i]))
            Q[:] = frame
    return total / steps


@numba.njit(parallel=True)
def _all(A, W, h, zs, Qs, steps, loops):
    result = np.empty((len(zs), Qs.shape[2]))
    for k in numba.prange(len(zs)):
        result[k] = _one(A, W, h, zs[k], Qs[k], steps, loops)
    return result


def timed(action: Callable[[int], object], first: int) -> tuple[float, float]:
    """Run with more and more steps until it takes `SECONDS`; give the seconds a step, and those of all cores."""
    steps = first

    def once() -> tuple[float, float]:
        begin, busy = time.perf_counter(), time.process_time()
        action(steps)
        return time.perf_counter() - begin, time.process_time() - busy

    while (taken := once())[0] <= SECONDS / 2:
        steps = int(steps * min(50, max(2, SECONDS / max(taken[0], 1e-3))))
    # Once more: for so many steps, a program of its own may have been compiled.
    seconds, busy = min(taken, once())
    return seconds / steps, busy / steps


def row(M: int, n: int, B: int) -> str:
    """Give one line of the table."""
    model = network(M)
    A, W, h = (np.asarray(leaf) for leaf in (model.A, model.W, model.h))
    z0 = np.random.default_rng(0).normal(size=(B, M))
    Q0 = random_frame(M, n)  # the frame that cyclax begins with

    def ours(steps: int) -> cx.Spectrum:
        return cx.lyapunov_spectrum(
            model, z0, steps=steps, warmup=0, num_exponents=n, in_axes=(None, 0, None), progress=False
        )

    begin = time.perf_counter()
    ours(1)
    first = time.perf_counter() - begin
    cyclax, own_busy = timed(ours, 2)
    numpy, _ = timed(lambda steps: plain(A, W, h, z0[0].copy(), Q0.copy(), steps), 2)
    loops = n <= GRAM_SCHMIDT_UP_TO

    def compiled(steps: int) -> np.ndarray:
        return _all(A, W, h, z0.copy(), np.repeat(Q0[None], B, axis=0), steps, loops)

    compiled(1)
    numba_, numba_busy = timed(compiled, 2)
    check = int(np.clip(2e6 / (M * n * B), 3, 500))
    both = ours(check).sum.mean(), compiled(check).sum(axis=1).mean()
    rates = [B / cyclax, 1 / numpy, B / numba_]
    cells = [M, n, B, f"{first:.1f}", *(f"{rate:,.0f}" for rate in rates), f"{rates[0] / rates[1]:.2g}"]
    cells += [f"{rates[0] / rates[2]:.2g}", f"{numba_busy / own_busy:.2g}"]
    cells += [f"{abs(both[0] - both[1]) / abs(both[1]):.0e}"]
    return "| " + " | ".join(map(str, cells)) + " |"


def published(lines: list[str]) -> None:
    """Time M = 200 with 5 exponents."""
    model = network(200)
    z0 = np.random.default_rng(0).normal(size=200)
    for steps in (1000, 10_000):
        settings = {"steps": steps, "warmup": 100, "num_exponents": 5, "progress": False}
        begin = time.perf_counter()
        cx.lyapunov_spectrum(model, z0, **settings)
        first = time.perf_counter() - begin
        begin = time.perf_counter()
        found = cx.lyapunov_spectrum(model, z0, **settings)
        again = time.perf_counter() - begin
        A, W, h = (np.asarray(leaf) for leaf in (model.A, model.W, model.h))
        begin = time.perf_counter()
        plain(A, W, h, z0, np.linalg.qr(np.random.default_rng(1).normal(size=(200, 5)))[0], steps + 100)
        numpy = time.perf_counter() - begin
        lines.append(
            f"| {steps:,} | {first:.2f} | {again:.2f} | {numpy:.2f} | {found.exponents[0]:.4f} +- "
            f"{found.standard_errors[0]:.1g} |"
        )
        print(lines[-1], flush=True)


def many(number: int = 10_000, M: int = 20, steps: int = 1000) -> None:
    """Time 10^4 networks at once, each with its own weights."""
    rng = np.random.default_rng(0)
    models = cx.PLRNN(
        A=rng.uniform(0.2, 0.7, (number, M)),
        W=rng.normal(size=(number, M, M)) / np.sqrt(M) - 0.8 / M,
        h=rng.normal(size=(number, M)),
    )
    z0 = rng.normal(size=(number, M))
    print(f"{number} networks of M = {M}, all exponents, {jax.devices()[0]}", flush=True)
    for kind in (cx.CholeskyQR(), cx.Householder(), cx.GramSchmidt()):
        for attempt in ("first", "again"):
            begin = time.perf_counter()
            found = cx.lyapunov_spectrum(
                models, z0, steps=steps, warmup=100, in_axes=(0, 0, None), orthonormalization=kind, progress=False
            )
            seconds = time.perf_counter() - begin
            kept = int(np.sum(found.diverged == 0))
            rate = number * (steps + 100) / seconds
            print(
                f"{type(kind).__name__}, {attempt}: {seconds:.2f} s for {steps} + 100 steps, {rate:,.0f} steps a "
                f"second; {kept} bounded; mean first exponent {np.nanmean(found.exponents[:, 0]):.6f}",
                flush=True,
            )


def processor() -> str:
    """Name the processor."""
    try:
        text = Path("/proc/cpuinfo").read_text()
        return next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main() -> None:
    """Write the table, or time many networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="without M = 100 and 500")
    parser.add_argument("--many", type=int, nargs="?", const=10_000, metavar="N", help="N networks of M = 20 at once")
    parser.add_argument("--steps", type=int, default=1000, help="with --many")
    arguments = parser.parse_args()
    if arguments.many:
        many(arguments.many, steps=arguments.steps)
        return
    load = f"Load of the machine at the beginning: {os.getloadavg()[0]:.1f} processes."
    lines = [
        "# Lyapunov spectra: speed",
        "",
        f"{os.cpu_count()} cores, {processor()}; {jax.devices()[0].platform}; float64. Steps a second, all orbits",
        "together, one orthonormalization a step. *First*: seconds of the first call, compilation included. NumPy",
        "runs one orbit after the other, so its rate is that of one; numba uses all cores for 256 orbits. *CPU*:",
        "the same ratio from the time that all cores were busy with it, of which other processes take nothing. *Off*:",
        f"the difference of cyclax and numba in the sum of exponents, relative. {load}",
        "",
        "| M | exponents | orbits | first | cyclax | NumPy loop | numba loop | cyclax / NumPy | / numba | CPU | off |",
        "|" + "---|" * 11,
    ]
    print("\n".join(lines), flush=True)
    for M, n in SIZES[:2] if arguments.quick else SIZES:
        for B in BATCHES:
            lines.append(row(M, n, B))
            print(lines[-1], flush=True)
    lines += [
        "",
        "M = 200, 5 exponents, one orbit, 100 steps of warm-up. Published for this size: 1.08 s (JAX, CPU) and 174 s",
        "(ChaosTools), for other machines, maps and numbers of steps; they stand here for orientation.",
        "",
        "| steps | first call, s | later ones, s | NumPy loop, s | largest exponent |",
        "|---|---|---|---|---|",
    ]
    published(lines)
    if not arguments.quick:
        RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
