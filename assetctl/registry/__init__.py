"""Registry: assetctl as a Python library. Every method is one use case; none prints anything.

Each operation is imported by the method that runs it, so that listing assets does not pay for fetching or generating
them: ruff's rule against local imports is off for this folder.
"""

from assetctl.registry.acquire import Acquire
from assetctl.registry.library import Library
from assetctl.registry.make import Make
from assetctl.registry.provision import Provision
from assetctl.registry.select import Select

__all__ = ["Registry"]


class Registry(Library, Acquire, Select, Make, Provision):
    """One home: a catalog of assets, the store they lie in, and what can be done with them.

    Use it as a context manager:

        with Registry.open() as registry:
            for asset in registry.list(kind="lora", family="sd1"):
                print(asset.name, asset.trigger_words)
    """
