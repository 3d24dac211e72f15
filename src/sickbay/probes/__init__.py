"""Small read-only functions from sources to findings, one file per domain."""
