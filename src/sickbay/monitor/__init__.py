"""Watching: profiles of tables and their drift, monitors on a schedule, detectors on a stream of predictions."""
