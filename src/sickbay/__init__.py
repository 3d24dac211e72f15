"""sickbay finds out why a production machine-learning system is sick, and proves it with numbers."""

__version__ = "0.1.0"
