"""`python -m assetctl` is `assetctl`."""

from assetctl.cli.main import main

if __name__ == "__main__":
    main()
