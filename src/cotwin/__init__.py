"""Cotwin: train a differentiable simulator and a neural surrogate of the same system together."""
