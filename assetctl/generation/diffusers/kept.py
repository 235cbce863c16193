"""What is loaded and may stay: a checkpoint's networks and VAEs, by content, within a budget.

What was used last stays longest. LoRAs and embeddings are put on networks, and taken off them, by what differs from
those that are on: another weight sets a number, and reads nothing.
"""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from assetctl.errors import UnusableError
from assetctl.files.safetensors import read_header
from assetctl.generation.diffusers.conditioning import add_embeddings, drop_embeddings, encoders_of
from assetctl.generation.diffusers.pipeline import load_pipeline, load_vae, set_loras, with_vae
from assetctl.generation.diffusers.runtime import free_memory, give_back, quiet, told, torch_dtype
from assetctl.generation.folders import files_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from diffusers import DiffusionPipeline

    from assetctl.generation.diffusers.conditioning import Encoder
    from assetctl.generation.diffusers.pipeline import Adapter
    from assetctl.request import Plan, PlannedUse
    from assetctl.run import Run
    from assetctl.types import Finding

#: The libraries change torch itself while they load: two threads that did so at once would load nothing whole, and
#: leave torch broken.
_LOADING = threading.Lock()

#: By which something that is kept is found: the part, its content, and in which way it was loaded.
Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What serves every prompt of a plan; `findings` tell what showed while it was loaded."""

    pipeline: DiffusionPipeline
    encoders: tuple[Encoder, ...]
    scheduler_config: Any
    findings: tuple[Finding, ...]

    @classmethod
    def load(cls, plan: Plan, device: str, dtype: str, run: Run) -> Loaded:
        """Load every asset that a plan names, and keep nothing for others; see `Kept.loaded`."""
        return Kept().loaded(plan, device, dtype, run)


@dataclass(slots=True)
class _Networks:
    """A checkpoint's UNet, text encoders and tokenizers, and what is on them now."""

    pipeline: DiffusionPipeline
    encoders: tuple[Encoder, ...]
    scheduler_config: Any
    read: Mapping[Path, _Stamp]
    loras: dict[object, Adapter] = field(default_factory=dict)
    words: list[tuple[object, str]] = field(default_factory=list)
    state: object = None
    findings: tuple[Finding, ...] = ()

    @property
    def size(self) -> int:
        return sum(_bytes(part) for part in self.without_vae().values() if isinstance(part, torch.nn.Module))

    def without_vae(self) -> dict[str, Any]:
        return {
            name: part
            for name, part in self.pipeline.components.items()
            if part is not None and name not in ("vae", "scheduler")
        }


@dataclass(slots=True)
class _Vae:
    network: torch.nn.Module
    read: Mapping[Path, _Stamp]

    @property
    def size(self) -> int:
        return _bytes(self.network)


class Kept:
    """What one backend has loaded. Its user sees to it that one thread at a time asks.

    Args:
        budget: Bytes of what is kept, on each device; half of what would be free without it, unless given. What a plan
            needs is loaded in any case, and then stays alone.
    """

    def __init__(self, budget: int | None = None) -> None:
        self._budget = budget
        self._kept: dict[Key, _Networks | _Vae] = {}  # what was used last is last

    @property
    def size(self) -> int:
        """Bytes of all that is kept."""
        return sum(each.size for each in self._kept.values())

    def loaded(self, plan: Plan, device: str, dtype: str, run: Run) -> Loaded:
        """Load what a plan names and what is not here yet.

        Raises:
            Cancelled: The run was cancelled.
            GenerationError: Something does not fit.
            FileError: A file is refused or corrupt.
        """
        networks_key, vae_key = keys = _keys(plan, device, dtype)
        self._drop_what_changed()
        networks, vae = self._networks(networks_key), self._vae(vae_key)
        if networks is None or vae is None or networks.state != _state(plan, vae_key):
            with (
                run.holding(_LOADING),
                quiet(),
                told("The pipeline could not be loaded", "See what is chosen with `assetctl check`.", UnusableError),
            ):
                if networks is None or vae is None:
                    self._load(plan, device, dtype, keys)
                self._change(plan, keys)
            self._make_room(device, keys)
            networks = self._networks(networks_key)
        assert networks is not None  # noqa: S101 - it was loaded
        for key in keys:
            self._kept[key] = self._kept.pop(key)
        return Loaded(networks.pipeline, networks.encoders, networks.scheduler_config, networks.findings)

    def _networks(self, key: Key) -> _Networks | None:
        found = self._kept.get(key)
        return found if isinstance(found, _Networks) else None

    def _vae(self, key: Key) -> _Vae | None:
        found = self._kept.get(key)
        return found if isinstance(found, _Vae) else None

    def _load(self, plan: Plan, device: str, dtype: str, keys: Sequence[Key]) -> None:
        networks_key, vae_key = keys
        networks, vae = self._networks(networks_key), self._vae(vae_key)
        missing = [use for use, there in ((plan.checkpoint, networks), (plan.vae, vae)) if use and not there]
        self._make_room(device, keys, sum(_estimate(Path(use.path), dtype) for use in missing))
        checkpoint = _stamps(Path(plan.checkpoint.path))
        if vae is None and plan.vae is not None:
            read = _stamps(Path(plan.vae.path))
            vae = self._kept[vae_key] = _Vae(load_vae(plan, device, dtype), read)
        if networks is not None and vae is not None:
            return
        there = {} if networks is None else networks.without_vae()
        there |= {} if vae is None else {"vae": vae.network}
        pipeline = load_pipeline(plan, device, dtype, there)
        if vae is None:
            self._kept[vae_key] = _Vae(pipeline.vae, checkpoint)
        if networks is None:
            self._kept[networks_key] = _Networks(pipeline, encoders_of(pipeline), pipeline.scheduler.config, checkpoint)

    def _change(self, plan: Plan, keys: Sequence[Key]) -> None:
        """Have the networks carry what a plan wants; those that cannot are kept no longer, half changed as they are."""
        networks, vae = self._networks(keys[0]), self._vae(keys[1])
        assert networks is not None  # noqa: S101 - whoever calls this has loaded both
        assert vae is not None  # noqa: S101 - likewise
        try:
            networks.state = None
            networks.pipeline = with_vae(networks.pipeline, vae.network)
            _set_embeddings(networks, plan.of("embedding"))
            wanted = _by_content([use for use in plan.of("lora") if use.weight or use.text_weight])
            networks.findings = set_loras(networks.pipeline, networks.loras, wanted)
            networks.state = _state(plan, keys[1])
        except BaseException:
            del networks
            self._drop([keys[0]])
            raise

    def _make_room(self, device: str, needed: Collection[Key], further: int = 0) -> None:
        """Let go of what was not used for longest, until all that is on a device, and what is to come, is in budget."""
        here = {key: each.size for key, each in self._kept.items() if key[-2] == device}
        held = sum(here.values())
        budget = (free_memory(device) + held) // 2 if self._budget is None else self._budget
        gone = []
        for key, size in here.items():
            if held + further > budget and key not in needed:
                held -= size
                gone.append(key)
        self._drop(gone)

    def _drop_what_changed(self) -> None:
        """Let go of what was read of files that were overwritten since: its numbers may be those of the file."""
        self._drop([key for key, each in self._kept.items() if _is_overwritten(each.read)])

    def _drop(self, keys: Iterable[Key]) -> None:
        gone = [self._kept.pop(key) for key in keys]
        if not gone:
            return
        networks = [each.network for each in gone if isinstance(each, _Vae)]
        for each in self._kept.values():
            if isinstance(each, _Networks) and any(each.pipeline.vae is network for network in networks):
                each.pipeline.register_modules(vae=None)
                each.state = None
        del gone, networks
        gc.collect()
        give_back()


def _keys(plan: Plan, device: str, dtype: str) -> tuple[Key, Key]:
    checkpoint, vae = plan.checkpoint, plan.vae
    model = (_content(checkpoint), checkpoint.format, checkpoint.family)
    beside = _configuration(plan.tokenizer)
    own = ("vae", *model, beside) if vae is None else ("vae", _content(vae), vae.format, checkpoint.family, None)
    return ("networks", *model, beside, device, dtype), (*own, device, dtype)


def _state(plan: Plan, vae: Key) -> object:
    """All that a plan has on its networks, in order."""
    embeddings, loras = (
        _words(plan.of("embedding")),
        [(_content(use), use.weight, use.text_weight) for use in plan.of("lora")],
    )
    return vae, embeddings, loras, [use.name for use in plan.of("lora")]


def _content(use: PlannedUse) -> object:
    """What tells an asset's bytes from all others."""
    return use.sha256 or tuple(_stamps(Path(use.path)).items())


def _by_content(uses: Iterable[PlannedUse]) -> dict[object, PlannedUse]:
    """Each by its content, and by how many of the same there are before it."""
    found: dict[object, PlannedUse] = {}
    for use in uses:
        before = 0
        while (key := (_content(use), before)) in found:
            before += 1
        found[key] = use
    return found


def _words(uses: Iterable[PlannedUse]) -> list[tuple[object, str]]:
    return [(_content(use), use.token) for use in uses]


def _set_embeddings(networks: _Networks, uses: Iterable[PlannedUse]) -> None:
    """Have the encoders know these embeddings: the first of those that they know may stay, the others go."""
    last = list({use.token: use for use in uses}.values())  # of two with one word, the later counts
    wanted = _words(last)
    most = min(len(wanted), len(networks.words))
    same = next((number for number in range(most) if wanted[number] != networks.words[number]), most)
    drop_embeddings(networks.encoders, [token for _, token in networks.words[same:]])
    del networks.words[same:]
    add_embeddings(last[same:], networks.encoders)
    networks.words += wanted[same:]


def _bytes(network: torch.nn.Module) -> int:
    return sum(each.nbytes for each in (*network.parameters(), *network.buffers()))


@dataclass(frozen=True, slots=True)
class _Stamp:
    """Which file it was, and when it was written last."""

    file: tuple[int, int]
    written: tuple[int, int]

    @classmethod
    def of(cls, path: Path) -> _Stamp:
        status = path.stat()
        return cls((status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns))


def _stamps(path: Path) -> dict[Path, _Stamp]:
    """Those of a file, or of the weights in a folder."""
    paths = sorted(path.glob("**/*.safetensors")) if path.is_dir() else [path]
    stamps = {}
    for each in paths:
        with suppress(OSError):  # who reads it says why it cannot be read
            stamps[each] = _Stamp.of(each)
    return stamps


def _is_overwritten(read: Mapping[Path, _Stamp]) -> bool:
    """Whether one of the files holds other bytes now. One that was replaced or deleted keeps those that were read."""
    for path, then in read.items():
        with suppress(OSError):
            now = _Stamp.of(path)
            if now.file == then.file and now.written != then.written:
                return True
    return False


#: Where a configuration, or a vocabulary, lies in the folder that is handed over beside a checkpoint.
_PLACES = ("", "unet", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "scheduler")


def _configuration(folder: Path | None) -> Key | None:
    """The state of a folder that says how a checkpoint is to be loaded."""
    if folder is None:
        return None
    found = (path for place in _PLACES for ending in ("json", "txt") for path in (folder / place).glob(f"*.{ending}"))
    return str(folder), *((str(path), stamp) for each in sorted(found) for path, stamp in _stamps(each).items())


def _estimate(path: Path, dtype: str) -> int:
    """About how many bytes the networks of a file or folder take."""
    size = torch_dtype(dtype).itemsize
    files = files_of(path) if path.is_dir() else [path]
    return sum(size * prod(entry["shape"]) for file in files for entry in read_header(file).tensors.values())
