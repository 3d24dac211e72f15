"""Beliefs, planning, stopping, learning: arithmetic on terms and numpy, nothing else."""
