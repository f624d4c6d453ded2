"""Synthetic models: neural surrogates that step the state forward."""
