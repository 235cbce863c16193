"""A training run that ends by the clock, can be stopped at any moment, and goes on where it was."""

from __future__ import annotations

import copy
import math
import time
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SAVE_EVERY = 60.0


class Run:
    """Trains a model's parameters with AdamW, a short warm-up and a cosine down to nothing.

    What a run has reached is saved every minute, so that the same command goes on after it was stopped. The rate
    of learning follows the share of the minutes that is used up.

    Attributes:
        finished: Whether an earlier run had finished; there are no steps then.
        share: How much of the time is used up, 0 to 1.
    """

    def __init__(self, path: Path, model: Any, *, peak: float, minutes: float, decay: float = 0.0) -> None:  # noqa: ANN401
        self._path, self._model = path, model
        self._seconds, self._peak = minutes * 60, peak
        self._parameters = [each for each in model.parameters() if each.requires_grad]
        self._optimiser = torch.optim.AdamW(self._parameters, peak, betas=(0.9, 0.99), weight_decay=0.01)
        self._average = copy.deepcopy(model).requires_grad_(requires_grad=False) if decay else None
        self._decay = decay
        self._step, self._spent, self._loss = 0, 0.0, math.nan
        self.finished = False
        if path.exists():
            self._resume()

    @property
    def share(self) -> float:
        """How much of the time is used up."""
        return min(1.0, self._spent / self._seconds)

    def steps(self) -> Iterator[int]:
        """Numbers of steps until the time is up."""
        saved = started = time.monotonic()
        while not self.finished and self._spent < self._seconds:
            yield self._step
            self._step += 1
            now = time.monotonic()
            self._spent, started = self._spent + now - started, now
            if now - saved > _SAVE_EVERY:
                saved = now
                self.save()
                print(
                    f"{self._path.stem}: {self._spent / 60:.1f} min, step {self._step}, loss {self._loss:.4f}",
                    flush=True,
                )
        if not self.finished and self._average is not None:
            self._model.load_state_dict(self._average.state_dict())

    def take(self, loss: torch.Tensor) -> None:
        """One step of learning from a loss."""
        rate = self._peak * min(1.0, (self._step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * self.share)) + 1e-6
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad()
        self._loss = loss.item() if math.isnan(self._loss) else 0.98 * self._loss + 0.02 * loss.item()
        if self._average is not None:
            keep = min(self._decay, (self._step + 1) / (self._step + 10))
            for mean, now in zip(self._average.parameters(), self._model.parameters(), strict=True):
                mean.lerp_(now.detach(), 1 - keep)

    def finish(self) -> None:
        """Save the model for good."""
        self.finished = True
        self.save()

    def save(self) -> None:
        """Save what was reached, whole or not at all."""
        state: dict[str, Any] = {"model": self._model.state_dict(), "finished": self.finished}
        if not self.finished:
            state |= {"optimiser": self._optimiser.state_dict(), "step": self._step, "spent": self._spent}
            state |= {"average": self._average.state_dict()} if self._average is not None else {}
        part = self._path.with_suffix(".part")
        torch.save(state, part)
        part.replace(self._path)

    def _resume(self) -> None:
        state = torch.load(self._path, weights_only=True)
        self._model.load_state_dict(state["model"])
        self.finished = state["finished"]
        if not self.finished:
            self._optimiser.load_state_dict(state["optimiser"])
            self._step, self._spent = state["step"], state["spent"]
            if self._average is not None:
                self._average.load_state_dict(state["average"])
