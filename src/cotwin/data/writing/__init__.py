"""Trajectories as what other tools read."""
