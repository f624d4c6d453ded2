"""Readings of sensors that lie on no grid."""
