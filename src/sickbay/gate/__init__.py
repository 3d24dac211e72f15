"""The gate: may this candidate replace the champion? It passes on evidence alone; too little data is "not shown"."""
