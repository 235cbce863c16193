"""Pickles, read without running them.

A pickle is a program for a small machine that may name any Python function and call it. Here no such name is ever
looked up: `verdict` tells what a program would call, `machine` follows it with stand-ins that do nothing, and
`torch_files` finds the programs in what `torch.save` wrote and turns the outcome into a header.
Sources: https://docs.python.org/3/library/pickle.html, PyTorch's `torch/serialization.py`.
"""

from __future__ import annotations

from assetctl.files.pickles.archives import refuse_program_in
from assetctl.files.pickles.torch_files import PickledTensors, read_pickle

__all__ = ["PickledTensors", "read_pickle", "refuse_program_in"]
