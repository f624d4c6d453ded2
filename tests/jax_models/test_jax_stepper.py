"""Models written in JAX: the same states and gradients as native ones, in the state's precision, without copies."""

from __future__ import annotations

import copy
import subprocess
import sys
import threading
from typing import Any

import exponax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from physics_cases import F64, scalar, smooth
from torch import Tensor, nn

from cotwin.layout import Field, Layout
from cotwin.parameters import Bounded, CoarseField, Known, Positive, estimates
from cotwin.physics.jax import JaxStepper
from cotwin.physics.jax.stepper import _to_jax, _to_torch
from cotwin.physics.navier_stokes import NavierStokes
from cotwin.physics.spectral_burgers import SpectralBurgers
from cotwin.rollouts import Checkpointed, rollout_each
from cotwin.stepper import rollout
from cotwin.store.fingerprint import fingerprint

LINE = Layout.box([Field("u")], grid=(24,), extent=[(0.0, 2.0)], boundary="periodic", dt=0.05)
SQUARE = Layout.box([Field("w")], grid=(24, 24), extent=[(0.0, 2.0)] * 2, boundary="periodic", dt=0.05)


def burgers(parameters: dict[str, jax.Array]) -> exponax.BaseStepper:
    return exponax.stepper.Burgers(1, 2.0, 24, 0.05, diffusivity=parameters["viscosity"], conservative=True)


def spread(parameters: dict[str, jax.Array]) -> Any:
    """Diffusion and a little decay, quick to compile."""
    return lambda u: (
        u + 0.3 * parameters["viscosity"] * (jnp.roll(u, 1, -1) - 2 * u + jnp.roll(u, -1, -1)) - 0.01 * u**2
    )


def decay(parameters: Any) -> Any:
    return lambda u: u * jnp.exp(-LINE.dt * parameters["rate"])


def test_burgers_of_exponax_is_the_native_one() -> None:
    """The same scheme, conservative ETDRK2 with the 2/3 rule."""
    start = smooth(LINE)
    states = rollout(JaxStepper(LINE, burgers, {"viscosity": scalar(0.1)}), start, 5)
    native = rollout(SpectralBurgers(LINE, scalar(0.1), substeps=1), start, 5)
    assert torch.equal(states[:, 0], start)
    assert torch.allclose(states, native, rtol=0, atol=1e-13)


def test_navier_stokes_of_exponax_is_the_native_one_with_the_opposite_sign() -> None:
    def flow(parameters: dict[str, jax.Array]) -> exponax.BaseStepper:
        return exponax.stepper.NavierStokesVorticity(2, 2.0, 24, 0.05, diffusivity=parameters["viscosity"])

    start = smooth(SQUARE)
    states = rollout(JaxStepper(SQUARE, flow, {"viscosity": scalar(0.02)}), -start, 4)
    assert torch.allclose(-states, rollout(NavierStokes(SQUARE, scalar(0.02)), start, 4), rtol=0, atol=1e-13)


def test_gradients_to_start_and_parameters_are_those_of_finite_differences() -> None:
    stepper = JaxStepper(LINE, burgers, {"viscosity": scalar(0.1)})

    def last(start: Tensor, raw: Tensor) -> Tensor:
        parameters = {"viscosity.raw": raw}
        return torch.func.functional_call(
            stepper, parameters, (torch.func.functional_call(stepper, parameters, start),)
        )

    start = smooth(LINE, count=2).requires_grad_()
    (raw,) = (value.detach().clone().requires_grad_() for value in stepper.parameters())
    assert torch.autograd.gradcheck(last, (start, raw))


def test_a_rollout_is_its_steps_in_sequence_and_so_is_its_gradient() -> None:
    stepper = JaxStepper(LINE, spread, {"viscosity": scalar(0.1)})
    start = smooth(LINE)
    whole = rollout(stepper, start, 4)
    steps = [start]
    for _ in range(4):
        steps.append(stepper(steps[-1]))
    apart = torch.stack(steps, dim=1)
    assert torch.allclose(whole, apart, rtol=0, atol=1e-13)
    weights = torch.randn(whole.shape, generator=torch.Generator().manual_seed(1), dtype=F64)
    slopes = [torch.autograd.grad((weights * s).sum(), list(stepper.parameters()))[0] for s in (whole, apart)]
    assert torch.allclose(slopes[0], slopes[1], rtol=1e-11, atol=0)
    assert torch.equal(rollout(stepper, start, 0)[:, 0], start)


def test_both_precisions_work_and_the_setting_of_the_process_stays() -> None:
    stepper = JaxStepper(LINE, spread, {"viscosity": scalar(0.1)})
    start = smooth(LINE)
    assert not jax.config.jax_enable_x64
    double, single = rollout(stepper, start, 5), rollout(stepper, start.float(), 5)
    assert (double.dtype, single.dtype) == (F64, torch.float32)
    assert torch.allclose(double, single.double(), rtol=0, atol=1e-5)
    assert not torch.equal(double, single.double())
    for states in (double, single):
        (slope,) = torch.autograd.grad(states[:, -1].square().mean(), list(stepper.parameters()))
        assert slope.dtype == F64
    assert not jax.config.jax_enable_x64
    assert jnp.zeros(1).dtype == jnp.float32


def test_samples_do_not_influence_each_other() -> None:
    stepper = JaxStepper(LINE, spread, {"viscosity": scalar(0.1)})
    start = smooth(LINE)
    together = rollout(stepper, start, 3)
    for sample in range(len(start)):
        assert torch.allclose(rollout(stepper, start[[sample]], 3)[0], together[sample], rtol=0, atol=1e-13)


def test_parameters_are_the_leaves_of_a_pytree() -> None:
    def build(p: Any) -> Any:
        return lambda u: u + LINE.dt * (p["layers"][0] @ u[0] * p["gain"][0] + p["gain"][1] - p["known"])[None]

    matrix = nn.Parameter(0.1 * torch.eye(24, dtype=F64))
    gain = (Bounded(torch.tensor(0.4, dtype=F64), 0.0, 1.0), CoarseField(scalar_field(), LINE))
    stepper = JaxStepper(LINE, build, {"layers": [matrix], "gain": gain, "known": torch.tensor(0.3, dtype=F64)})
    assert {name for name, _ in stepper.named_parameters()} == {
        "layers/0.raw",
        "gain/0.raw",
        "gain/1.coefficients.raw",
    }
    assert set(estimates(stepper)) == {"layers/0", "gain/0", "gain/1"}
    start = smooth(LINE)
    u = start
    for _ in range(2):
        u = u + LINE.dt * (u @ matrix.T * gain[0]() + gain[1]() - 0.3)
    states = rollout(stepper, start, 2)
    assert torch.allclose(states[:, -1], u, rtol=0, atol=1e-13)
    found, true = (torch.autograd.grad(s.square().sum(), list(stepper.parameters())) for s in (states[:, -1], u))
    for left, right in zip(found, true, strict=True):
        assert torch.allclose(left, right, rtol=1e-11, atol=1e-13)


def scalar_field() -> Positive:
    return Positive(torch.tensor([0.3, 0.5, 0.4, 0.2], dtype=F64))


def test_static_channels_are_read_and_kept() -> None:
    layout = Layout.box([Field("k", static=True), Field("u")], grid=(8,), extent=[(0, 1)], boundary="neumann", dt=0.1)
    stepper = JaxStepper(layout, lambda p: lambda s: s * jnp.exp(-p * s[:1]), scalar(0.7))
    start = smooth(layout)
    states = rollout(stepper, start, 3)
    assert torch.equal(states[:, :, :1], start[:, None, :1].expand(-1, 4, -1, -1))
    assert torch.allclose(states[:, -1, 1], start[:, 1] * torch.exp(-3 * 0.7 * start[:, 0]), rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_states_pass_without_a_copy(dtype: torch.dtype) -> None:
    with jax.enable_x64(dtype == F64):
        state = torch.randn(16, 1, 64, dtype=dtype)
        there = _to_jax(state)
        assert isinstance(there, np.ndarray)  # which jitted functions read in place
        assert there.ctypes.data == state.data_ptr()
        after = jax.jit(lambda u: u + 1)(there)
        back = _to_torch(after)
        assert back.data_ptr() == after.unsafe_buffer_pointer()
        assert torch.equal(back, state + 1)


def test_a_start_changed_before_its_gradient_is_noticed() -> None:
    """Its memory is what the gradient is computed from."""
    stepper = JaxStepper(LINE, spread, {"viscosity": scalar(0.1)})
    start = smooth(LINE)
    states = rollout(stepper, start, 2)
    start.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        states.sum().backward()


def test_two_threads_may_work_in_two_precisions() -> None:
    """As the producer of generated windows does, in inference mode, beside the trainer."""
    stepper = JaxStepper(LINE, spread, {"viscosity": scalar(0.1)})
    start = smooth(LINE)
    expected = rollout(stepper, start, 5).detach(), rollout(stepper, start.float(), 5).detach()
    equal: list[bool] = []

    def produce() -> None:
        with torch.inference_mode():
            equal.extend(torch.equal(rollout(stepper, start, 5), expected[0]) for _ in range(30))

    producer = threading.Thread(target=produce)
    producer.start()
    for _ in range(30):
        states = rollout(stepper, start.float(), 5)
        states.sum().backward()
        equal.append(torch.equal(states, expected[1]))
    producer.join()
    assert equal == [True] * 60


def test_sets_of_parameters_are_rolled_out_one_by_one() -> None:
    stepper = JaxStepper(LINE, burgers, {"viscosity": scalar(0.1)})
    start, raw = smooth(LINE), torch.tensor([-3.0, -2.0], dtype=F64)
    states = rollout_each(stepper, {"viscosity.raw": raw}, start, 3)
    native = rollout_each(SpectralBurgers(LINE, scalar(0.1), substeps=1), {"viscosity.raw": raw}, start, 3)
    assert torch.allclose(states, native, rtol=0, atol=1e-13)


def test_checkpoints_and_copies_work() -> None:
    stepper = JaxStepper(LINE, spread, {"viscosity": scalar(0.1)})
    start = smooth(LINE)
    states = rollout(stepper, start, 4)
    assert torch.allclose(rollout(Checkpointed(stepper), start, 4), states, rtol=0, atol=1e-13)
    twin = copy.deepcopy(stepper)
    nn.init.zeros_(next(twin.parameters()))
    assert torch.allclose(rollout(stepper, start, 4), states, rtol=0, atol=1e-13)
    assert not torch.allclose(rollout(twin, start, 4), states, rtol=0, atol=1e-3)


def test_cached_sets_are_not_those_of_another_model() -> None:
    def gentle(parameters: Any) -> Any:
        return lambda u: jnp.where(u < 100, u * jnp.exp(-LINE.dt * parameters["rate"]), 0.0)

    starts = smooth(LINE)
    keys = {fingerprint(JaxStepper(LINE, build, {"rate": Positive(0.5)}), starts, 1) for build in (decay, gentle)}
    assert len(keys) == 2
    again = JaxStepper(LINE, decay, {"rate": Positive(0.5)})
    assert fingerprint(again, starts, 1) in keys


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda p: lambda u: u[0], r"returned \(24,\) in float64 for a state of \(1, 24\)"),
        (lambda p: lambda u: u.astype(jnp.float32), "in float32 for a state"),
        (lambda p: lambda u: None, "returned NoneType"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_name_of_the_function(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rollout(JaxStepper(LINE, build, {}), smooth(LINE), 1)


def test_other_leaves_and_precisions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"the leaf 'rates/1' is a float; give a Parameter"):
        JaxStepper(LINE, decay, {"rates": [Known(1.0), 2.0]})
    with pytest.raises(ValueError, match=r"torch.float16; JAX models take"):
        JaxStepper(LINE, decay, {"rate": Positive(0.5)}).rollout(smooth(LINE).half(), 1)


def test_without_jax_the_message_names_the_extra() -> None:
    code = "import sys; sys.modules['jax'] = None; import cotwin.physics; import cotwin.physics.jax"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert 'ModuleNotFoundError: cotwin.physics.jax needs JAX, which is not installed: pip install "cotwin[jax]"' in (
        run.stderr
    )
