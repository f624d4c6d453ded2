"""Many runs of one problem: cells, whoever computes them, and what they allow to be said."""
