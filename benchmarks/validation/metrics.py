"""Metrics of reconstructions in closed form. D_stsp: divergence in state space; D_H: Hellinger distance of spectra."""

import math

import numpy as np

from benchmarks.validation.rows import Row
from cyclax import metrics


def rows() -> list[Row]:
    """Compare divergences and distances."""
    found = []
    # Bins [0, 1/2) and [1/2, 1], with 1/4 and 3/4 of the true points, 1/2 and 1/2 of the generated ones.
    true, generated, smoothing = np.array([0.0, 0.6, 0.7, 1.0]), np.array([0.1, 0.9]), 1e-9
    known = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
    ours = metrics.state_space_divergence(true, generated, method=metrics.Bins(2, smoothing))
    call, source = "cx.metrics.state_space_divergence(.., method=cx.metrics.Bins(2))", "sum of p ln (p / q)"
    found.append(Row("D_stsp, two bins: (1/4, 3/4) from (1/2, 1/2)", known, ours, 4 * smoothing, source, call))
    # One point each: two Gaussians.
    samples, variance, number = 20_000, 2.0, 8
    true, generated = np.zeros((1, number)), np.full((1, number), 0.5)
    known = float(np.sum((true - generated) ** 2) / (2 * variance))
    mixture = metrics.GaussianMixture(variance=variance, samples=samples)
    ours = metrics.state_space_divergence(true, generated, method=mixture, key=0)
    # The logarithm of the ratio is normal there, with a variance of twice its mean.
    allowed, source = 4 * math.sqrt(2 * known / samples), "squared distance / (2 variance)"
    call = "cx.metrics.state_space_divergence(.., method=cx.metrics.GaussianMixture(2.0))"
    found.append(Row("D_stsp, mixture: of two Gaussians in 8 dimensions", known, ours, allowed, source, call))
    t = np.arange(1000)[:, None]
    line = {f: np.sin(2 * np.pi * f * t / 1000) for f in (7, 200, 210)}
    known = math.sqrt(1 - math.sqrt(0.36 * 0.5) - math.sqrt(0.64 * 0.5))
    ours = metrics.hellinger_distance(3 * line[7] + 4 * line[200], line[7] + line[200], sigma=0)
    call, source = "cx.metrics.hellinger_distance(.., sigma=0)", "power is the squared amplitude"
    found.append(Row("D_H, amplitudes 3 and 4 from 1 and 1", known, ours, 1e-9, source, call))
    known = math.sqrt(1 - math.exp(-(10**2) / (8 * 10**2)))
    ours = metrics.hellinger_distance(line[200], line[210], sigma=10)
    # Kernels end at four standard deviations: of their product, 3.5 on both sides of its middle are left.
    allowed = math.exp(-1 / 8) * math.erfc(3.5 / math.sqrt(2)) / (2 * known)
    call, source = "cx.metrics.hellinger_distance(.., sigma=10)", "sqrt(1 - exp(-distance^2 / (8 sigma^2)))"
    found.append(Row("D_H, two smoothed lines", known, ours, allowed, source, call))
    return found
