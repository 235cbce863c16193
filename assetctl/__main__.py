"""`python -m assetctl` is `assetctl`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; an interrupt while it is still being imported ends quietly too."""
    try:
        from assetctl.cli.main import main as run  # noqa: PLC0415 - so that an interrupt of the import is caught
    except KeyboardInterrupt:
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
