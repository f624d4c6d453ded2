"""Every test and doctest runs with the shapes and types of Cotwin's signatures checked, but for four.

These are one line each, called some thousand times a rollout; checked, they take fifteen times as long. Their
signatures promise no more than tensors.
"""

from jaxtyping import install_import_hook

install_import_hook("cotwin", "typechecker.check")

from cotwin.physics import finite_volume, staggered  # noqa: E402  (after the hook, which wraps what is imported)

for short in (finite_volume.lower, finite_volume.upper, finite_volume.difference, staggered.inner):
    short.__no_type_check__ = True
