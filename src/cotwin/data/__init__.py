"""Trajectories and the files that hold them."""
