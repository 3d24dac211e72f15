"""The command line: a thin door over the same operations."""
