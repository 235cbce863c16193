"""Where to generate and in what precision."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from assetctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Flags of `/proc/cpuinfo` for processors that compute in bfloat16: x86 and ARM.
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}
_CPUINFO = Path("/proc/cpuinfo")

_DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32, "fp16": torch.float16}


def choose_device(wanted: str) -> str:
    """The torch device for a setting: `auto` is the best there is.

    Raises:
        UsageError: The device is not there.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if wanted == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if not there.get(wanted.partition(":")[0], False):
        present = ", ".join(name for name, is_there in there.items() if is_there)
        raise UsageError(f"This torch has no device {wanted!r}.", f"Set device to auto or one of: {present}.")
    return wanted


def choose_dtype(wanted: str, device: str) -> str:
    """The precision for a setting: `auto` is the fastest that is safe on `device`.

    A CPU computes fp16 a hundred times slower than bf16, so it is never used there.

    Raises:
        UsageError: fp16 is wanted on a CPU, or the name is unknown.
    """
    kind = device.partition(":")[0]
    if wanted == "auto":
        return _on_cpu() if kind == "cpu" else _on_gpu(kind)
    if wanted not in _DTYPES:
        raise UsageError(f"There is no precision {wanted!r}.", f"Choose one of: auto, {', '.join(_DTYPES)}.")
    if wanted == "fp16" and kind == "cpu":
        raise UsageError("A CPU computes in fp16 far too slowly to be of use.", "Set dtype to auto, bf16 or fp32.")
    return wanted


def nearest(device: str, dtype: str) -> tuple[str, str]:
    """Device and precision as wanted, or as `auto` has it where that can not be had here."""
    found = choose_device("auto")
    with suppress(UsageError):
        found = choose_device(device)
    with suppress(UsageError):
        return found, choose_dtype(dtype, found)
    return found, choose_dtype("auto", found)


@contextmanager
def using_threads(number: int | None) -> Iterator[None]:
    """Compute with so many threads inside, and with as many as before afterwards; `None` changes nothing."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        if number is not None:
            torch.set_num_threads(before)


def torch_dtype(name: str) -> torch.dtype:
    """The torch object for `bf16`, `fp32` or `fp16`."""
    return _DTYPES[name]


def _on_gpu(kind: str) -> str:
    return "bf16" if kind == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _on_cpu() -> str:
    try:
        words = set(_CPUINFO.read_text("utf-8").split())
    except OSError:
        return "fp32"
    return "bf16" if words & _BF16_FLAGS else "fp32"
