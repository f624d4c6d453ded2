"""From the contents of a file to trajectories: judged, placed, in the right precision."""
