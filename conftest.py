"""Every test and doctest runs with the shapes and types of Cotwin's signatures checked."""

from collections.abc import Iterator

import pytest
from jaxtyping import install_import_hook

install_import_hook("cotwin", "typechecker.check")

from typechecker import check_all  # noqa: E402  (the hook comes before all else)


@pytest.fixture(autouse=True)
def _checked() -> Iterator[None]:
    yield
    check_all()
