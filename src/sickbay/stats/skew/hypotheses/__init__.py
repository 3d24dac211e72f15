"""One file per hypothesis; a new file is found by itself."""
