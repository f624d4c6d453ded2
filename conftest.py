"""Every test and doctest runs with the shapes and types of Cotwin's signatures checked."""

from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module

import pytest
from jaxtyping import install_import_hook

# What a module of Cotwin is the first to import, the hook has compiled anew, which took longer than all else.
for _name in ("scipy.stats", "scipy.optimize", "h5py", "matplotlib.figure", "omegaconf", "pydantic", "typer"):
    import_module(_name)
for _name in ("arviz", "exponax", "jax", "phi.flow"):
    with suppress(ImportError):
        import_module(_name)

install_import_hook("cotwin", "typechecker.check")

from typechecker import check_all  # noqa: E402  (the hook comes before all else)


@pytest.fixture(autouse=True)
def _checked() -> Iterator[None]:
    yield
    check_all()
