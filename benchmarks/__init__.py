"""Measurements: `python -m benchmarks.search` and `python -m benchmarks.cold_start`; results under `results/`."""
