"""What the ways to roll out one stepper have in common."""

from __future__ import annotations

from cotwin.stepper import Stepper


def share(wrapper: Stepper, inner: Stepper) -> None:
    """Make the inner stepper's parameters, buffers and modules the wrapper's own, under the same names.

    So estimates, checkpoints and weights are named as without the wrapper, and may be exchanged.
    """
    # Not registered as a module, which would put "inner." before every name.
    object.__setattr__(wrapper, "inner", inner)
    for register in ("_parameters", "_buffers", "_non_persistent_buffers_set", "_modules"):
        wrapper.__dict__[register] = inner.__dict__[register]
    wrapper.staggered = inner.staggered
