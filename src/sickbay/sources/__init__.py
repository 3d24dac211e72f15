"""Read-only clients, one file per kind of system; a source cannot write. Heavy imports happen inside ``connect``."""
