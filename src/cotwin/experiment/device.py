"""Where models compute."""

from __future__ import annotations

import torch


def find_device(name: str) -> torch.device:
    """The device of a name in settings: cpu, cuda, or cuda and a number. Raises ValueError where it is not there."""
    count = torch.cuda.device_count()
    there = ["cpu", *(["cuda"] if count else []), *(f"cuda:{index}" for index in range(count))]
    if name not in there:
        why = "" if count else "; torch sees no CUDA"
        raise ValueError(f"device: {name} is not there, there is {', '.join(there)}{why}.")
    return torch.device(name)
