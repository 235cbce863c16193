"""The backend that runs on diffusers. Its modules, and nothing else in assetctl, import torch."""

from __future__ import annotations

from assetctl.generation.diffusers.backend import DiffusersBackend

__all__ = ["DiffusersBackend"]
