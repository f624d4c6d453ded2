"""Models written in JAX as Cotwin steppers. Needs the extra: pip install "cotwin[jax]"."""

try:
    import jax  # noqa: F401
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        'cotwin.physics.jax needs JAX, which is not installed: pip install "cotwin[jax]"', name=missing.name
    ) from missing

from cotwin.physics.jax.stepper import JaxStepper

__all__ = ["JaxStepper"]
