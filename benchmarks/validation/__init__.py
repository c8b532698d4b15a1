"""Numbers that are known, beside ours: `python -m benchmarks.validation` writes `results/validation.md` (minutes).

A section is a function that computes its rows anew; `tests/test_validation.py` does so in the slow suite, and fails
where one is off by more than its tolerance, or is no longer what the page says.
"""
