"""Batteries that run over every registered thing; for sickbay's own tests and for authors of plugins.

Each check is a plain function that raises AssertionError with a sentence (or returns the problems). A census holds what
was checked against what is registered: adding a thing gets it tested, or gets it named as untested.
"""
