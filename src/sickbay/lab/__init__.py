"""Real systems, really broken; never imported by the rest."""
