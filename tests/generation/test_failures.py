"""What the libraries raise, told as what it was."""

from __future__ import annotations

import signal

import pytest

from assetctl.errors import UnusableError

pytest.importorskip("torch")


def interrupted_in(what_a_library_does_then) -> None:
    from assetctl.generation.diffusers.runtime import told

    with told("The LoRA ink does not fit", "See it.", UnusableError):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            what_a_library_does_then()


def misfit() -> None:
    raise TypeError("could not determine the shape of object type 'torch.storage.UntypedStorage'")


@pytest.mark.parametrize("lost", [misfit, lambda: None], ids=["called a misfit", "dropped"])
def test_ctrl_c_that_a_library_loses_is_still_ctrl_c(lost):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted_in(lost)
    assert signal.getsignal(signal.SIGINT) is before
