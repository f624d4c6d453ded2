"""A second device made of the first: tensors that say `meta` and hold their values, and do not mix with the CPU's.

    with second_device():
        stepper = stepper.to(DEVICE)
        rollout(stepper, state.to(DEVICE), 3)    # raises MixedDevicesError where a tensor stayed behind

As on CUDA a tensor of the CPU meets one of the device only if it is a single number without axes, is copied, or an
index; a generator of the CPU draws nothing on the device; NumPy sees nothing of it. The values are computed by the
CPU, so that results can be compared with those of the CPU to the last bit.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

DEVICE = torch.device("meta")
_CPU = torch.device("cpu")
_aten = torch.ops.aten
_COPIES = {_aten.copy_.default, _aten._to_copy.default}
# These take indices of the CPU too.
_INDEXES = {
    _aten.index.Tensor,
    _aten.index_put.default,
    _aten.index_put_.default,
    _aten._index_put_impl_.default,
}


# Lazy forms lose what marks them when wrapped.
_PLAINLY = {
    _aten._conj.default: _aten.conj_physical.default,
    _aten._neg_view.default: _aten.neg.default,
    _aten._efficientzerotensor.default: _aten.zeros.default,
}


class MixedDevicesError(RuntimeError):
    """Tensors of the CPU and of the second device in one operation."""


class Second(Tensor):
    """A tensor of the second device; `values` are on the CPU."""

    values: Tensor

    @staticmethod
    def __new__(cls, values: Tensor) -> Second:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            values.shape,
            strides=values.stride(),
            storage_offset=values.storage_offset(),
            dtype=values.dtype,
            device=DEVICE,
            requires_grad=values.requires_grad,
        )
        made.values = values
        return made  # type: ignore[no-any-return]

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["values"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, Tensor], meta: None, size: Any, stride: Any) -> Second:
        return Second(inner["values"])

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"Second({self.values!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Factories(TorchDispatchMode):
    """What is asked for on the device is made there, and what is plain stays so."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(func, args, kwargs or {})


class _Functions(TorchFunctionMode):
    """What does not reach the dispatcher: tensors of Python's numbers, and back."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (torch.tensor, torch.as_tensor) and torch.device(kwargs.get("device") or _CPU) == DEVICE:
            return func(*args, **(kwargs | {"device": _CPU})).to(DEVICE)
        if func is Tensor.new_tensor and args[0].device == DEVICE:
            return torch.tensor(*args[1:], **({"dtype": args[0].dtype} | kwargs)).to(DEVICE)
        if func is Tensor.tolist and args[0].device == DEVICE:
            return args[0].cpu().tolist()
        if func in (Tensor.__getitem__, Tensor.__setitem__) and args[0].device == DEVICE:
            args = (args[0], _as_index(args[1]), *args[2:])
        return func(*args, **kwargs)


def _as_index(index: Any) -> Any:
    """With tensors for lists: of a list PyTorch makes a tensor of the meta device without values."""
    if isinstance(index, tuple):
        return tuple(map(_as_index, index))
    return torch.tensor(index, device=_CPU) if isinstance(index, list) else index


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    asked = kwargs.get("device")
    tensors = [*_tensors(args), *_tensors(kwargs)]
    there = any(isinstance(one, Second) for one in tensors)
    if asked is None and not there:
        return _PLAINLY.get(func, func)(*args, **kwargs)
    if func in _INDEXES:
        target = isinstance(args[0], Second)
        indices = [one for one in args[1] if isinstance(one, Second)]
        if indices and not target:
            raise MixedDevicesError(f"{func} of the CPU's tensor by the device's indices")
        _require_one_device(func, [args[0], *args[2:3]])
    else:
        target = there if asked is None else torch.device(asked) == DEVICE
        if func not in _COPIES:
            _require_one_device(func, tensors)
        elif func is _aten.copy_.default:
            target = isinstance(args[0], Second)
    if target and asked is not None and kwargs.get("generator") is not None:
        raise MixedDevicesError(f"{func} with a generator of the CPU; draw on generator.device and move it")
    plain_args, plain_kwargs = _plain(args), _plain(kwargs)
    if asked is not None:
        plain_kwargs["device"] = _CPU
    func = _PLAINLY.get(func, func)
    made = func(*plain_args, **plain_kwargs)
    if func is _aten._local_scalar_dense.default or not target:
        return made
    aliases = _aliases(func)
    if aliases == "first":
        return args[0]
    wrapped = _second(made)
    return wrapped if aliases == "none" else return_and_correct_aliasing(func, args, kwargs, wrapped)


@functools.cache
def _aliases(func: Any) -> Literal["none", "first", "others"]:
    """What an operation returns: new tensors, its first argument, which it wrote, or a view or another argument."""
    schema = func._schema
    if not any(one.alias_info for one in (*schema.arguments, *schema.returns)):
        return "none"
    first, *others = schema.arguments
    written = first.alias_info is not None and first.alias_info.is_write and len(schema.returns) == 1
    if written and not any(one.alias_info for one in others) and torch.Tag.inplace_view not in func.tags:
        return "first"
    return "others"


def _require_one_device(func: Any, tensors: list[Any]) -> None:
    if any(isinstance(one, Second) for one in tensors):
        for one in tensors:
            if isinstance(one, Tensor) and not isinstance(one, Second) and one.dim() > 0:
                raise MixedDevicesError(f"{func} of the CPU's {tuple(one.shape)} and the device's tensors")


def _tensors(found: Any) -> Iterator[Tensor]:
    """Those in nested arguments. What PyTorch has for it takes as long as the operations."""
    if isinstance(found, Tensor):
        yield found
    elif isinstance(found, tuple | list):
        for one in found:
            yield from _tensors(one)
    elif isinstance(found, dict):
        yield from _tensors(list(found.values()))


def _plain(given: Any) -> Any:
    """With the values of the device's tensors for these."""
    if isinstance(given, Second):
        return given.values
    if isinstance(given, tuple | list):
        return type(given)(_plain(one) for one in given)
    if isinstance(given, dict):
        return {name: _plain(one) for name, one in given.items()}
    return given


def _second(made: Any) -> Any:
    """With tensors of the device for the CPU's."""
    if isinstance(made, Tensor):
        return Second(made)
    return type(made)(_second(one) for one in made) if isinstance(made, tuple | list) else made


@contextmanager
def second_device() -> Iterator[torch.device]:
    """Within it `DEVICE` can be moved to and computed on."""
    # Inference tensors have no versions, which torch sets of what wraps tensors.
    with _Factories(), _Functions(), mock.patch.object(torch, "inference_mode", torch.no_grad):
        yield DEVICE
