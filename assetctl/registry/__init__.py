"""Registry: assetctl as a Python library. Every method is one use case; none prints anything.

Each operation is imported by the method that runs it, so that listing assets does not pay for fetching or generating
them: ruff's rule against local imports is off for this folder.
"""

from assetctl.registry.finding import Finding
from assetctl.registry.getting import Getting
from assetctl.registry.keeping import Keeping
from assetctl.registry.making import Making

__all__ = ["Registry"]


class Registry(Finding, Getting, Keeping, Making):
    """One home: a catalog of assets, the store they lie in, and what can be done with them.

    Use it as a context manager:

        with Registry.open() as registry:
            for asset in registry.list(kind="lora", family="sd1"):
                print(asset.name, asset.trigger_words)
    """
