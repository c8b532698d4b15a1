"""Work described in TOML files."""
