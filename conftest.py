"""Every test and doctest runs with the shapes and types of Cotwin's signatures checked."""

from jaxtyping import install_import_hook

install_import_hook("cotwin", "typechecker.check")
