"""What all tests share."""

import os

# Tiny models crawl when two threads share their few numbers, and tests run beside each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test sees, or changes, the keyring of whoever runs it.
os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"

pytest_plugins = ["servers.fixtures"]
