"""The systems the lab can start, one file each."""
