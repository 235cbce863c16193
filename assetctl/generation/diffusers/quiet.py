"""Silence: diffusers, transformers and peft log hundreds of lines, many of them false alarms."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from collections.abc import Iterator

_LIBRARIES = ("diffusers", "transformers", "peft", "accelerate", "huggingface_hub", "torch")
_SILENT = logging.CRITICAL + 1


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the libraries from logging, warning and drawing progress bars; all is as it was afterwards.

    What they would say of a real failure they also raise.
    """
    loggers = [logging.getLogger(name) for name in _LIBRARIES]
    levels = [logger.level for logger in loggers]
    drawing = [each for each in (diffusers_logging, transformers_logging) if each.is_progress_bar_enabled()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(_SILENT)
        for each in drawing:
            each.disable_progress_bar()
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
            for each in drawing:
                each.enable_progress_bar()
