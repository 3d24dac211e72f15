"""The loop: plan, probe, update, stop."""
