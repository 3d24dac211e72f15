"""Faults, one file per system: each breaks it, yields, and heals it."""
