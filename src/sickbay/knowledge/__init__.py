"""What is known about causes: one TOML file per scenario, and the loader."""
