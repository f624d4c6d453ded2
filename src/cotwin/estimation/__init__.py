"""Estimates of a simulator's unknowns from observations of it, with their uncertainty."""
