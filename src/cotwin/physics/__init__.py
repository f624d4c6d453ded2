"""Physical models: differentiable, batched PDE solvers."""
