"""Time series: simulated here, or read."""
