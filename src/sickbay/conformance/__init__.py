"""Batteries that run over every registered thing."""
