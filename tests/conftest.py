"""What all tests share."""

import gc
import os
import signal
import time

import pytest

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


#: Why a test was left out that could not begin in time.
_TOO_LATE = "its time was over"
_BEGUN = pytest.StashKey[float]()


def pytest_addoption(parser):
    """A run may be given a time: a starved machine tests what it can, and says what it did not."""
    parser.addoption("--minutes", type=float, default=float("inf"), help="begin no test later than that")


def pytest_configure(config):
    """Time runs from here."""
    config.stash[_BEGUN] = time.monotonic()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """Nothing begins that would end too late."""
    if time.monotonic() - item.config.stash[_BEGUN] > 60 * item.config.getoption("--minutes"):
        pytest.skip(_TOO_LATE)


def pytest_terminal_summary(terminalreporter):
    """What was left out is said."""
    late = sum(_TOO_LATE in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ()))
    if late:
        minutes = terminalreporter.config.getoption("--minutes")
        terminalreporter.write_line(
            f"{late:,} tests were NOT RUN: they had not begun after {minutes:g} minutes.", red=True
        )
