"""What all tests share."""

import gc
import os
import signal

# Tiny models crawl when two threads share their few numbers, and tests run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test sees, or changes, the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

# A runner in the background ignores Ctrl-C, and what it starts inherits that: tests of Ctrl-C would fail there.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["servers.fixtures"]


def pytest_collection_finish():
    """What the tests and their libraries are made of stays: no rubbish is looked for there, and no fork copies it."""
    gc.collect()
    gc.freeze()
