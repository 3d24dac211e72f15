"""The nouns of sickbay: frozen dataclasses that every room shares; no input, no output, no arithmetic."""
