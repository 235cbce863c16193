"""What all tests share."""

import os

# Tiny models crawl when two threads share their few numbers, and tests run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["servers.fixtures"]
