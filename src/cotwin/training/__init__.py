"""Training: one trainer for both models, the cycle in which they teach each other, and whether it was worth it."""
