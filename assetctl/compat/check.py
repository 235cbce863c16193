"""The rules and what they may ask of a selection: each file is read at most once."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from assetctl.compat.coverage import Changes, Modules, modules_of_file, modules_of_networks, of_lora
from assetctl.errors import (
    AssetctlError,
    CorruptFileError,
    FileError,
    IncompatibleError,
    NotFoundError,
    RefusedFileError,
    StorageError,
    UnusableError,
    UsageError,
)
from assetctl.files.headers import read_any_header
from assetctl.files.safetensors import Header, read_header
from assetctl.identify import identify_header
from assetctl.options import option
from assetctl.prompt import ParsedPrompt, parse_prompt
from assetctl.text import cut
from assetctl.types import CheckReport, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Iterator, Mapping

    from assetctl.types import Asset, AssetUse, Coverage, Facts, Purpose, Selection, Severity


@dataclass(frozen=True, slots=True)
class Rule:
    """One compatibility rule.

    Attributes:
        name: In snake_case; that of its file.
        description: What it looks for, in one line.
        severities: When it finds something, by how bad that is.
        generating: Whether its errors are about `generate` alone: what they name may work in another program.
        told_as: The error that its errors come to, where no other rule's stand beside them (see `refusal`).
    """

    name: str
    description: str
    severities: Mapping[Severity, str]
    generating: bool = False
    told_as: type[AssetctlError] = IncompatibleError

    def finding(self, severity: Severity, message: str, hint: str | None, *assets: Asset) -> Finding:
        """What this rule says of `assets`."""
        hint = None if hint is None else cut(hint, _LONGEST)
        return Finding(self.name, severity, tuple(asset.name for asset in assets), cut(message, _LONGEST), hint)


#: Characters of a message: a name in a file may have megabytes.
_LONGEST = 3000

_NETWORKS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")

#: `model.safetensors`, `model.fp16.safetensors`, `model.fp16-00001-of-00002.safetensors`.
_WEIGHTS = re.compile(
    r"(?:diffusion_pytorch_)?model(?:\.(?P<variant>[^.]+?))?(?:-\d{5}-of-(?P<count>\d{5}))?\.safetensors"
)


def read_networks(folder: Path) -> dict[str, list[Header]]:
    """Headers of the weights of the UNet or transformer and of the text encoders, all shards of one variant each.

    Raises:
        FileError: A network has no weights in safetensors, lacks a shard, or a file of it is damaged.
        StorageError: The folder cannot be read.
    """
    try:
        found = {name: _weights(folder / name) for name in _NETWORKS if (folder / name).is_dir()}
    except OSError as error:
        raise StorageError(f"{folder} cannot be read: {error.strerror}.", "Check the path and its rights.") from error
    return {name: [read_header(path) for path in paths] for name, paths in found.items()}


def _weights(network: Path) -> list[Path]:
    """The files of one variant: the one without a name if it is there, as diffusers chooses."""
    variants: defaultdict[str, list[tuple[Path, int]]] = defaultdict(list)
    for path in sorted(network.iterdir()):
        if match := _WEIGHTS.fullmatch(path.name):
            variants[match["variant"] or ""].append((path, int(match["count"] or 1)))
    if not variants:
        raise RefusedFileError(
            f"{network} holds no weights in safetensors.", "Get the variant of this model with safetensors files."
        )
    chosen = variants[min(variants)]
    whole = [path for path, count in chosen if count == 1]
    count = max(count for _, count in chosen)
    if whole:
        return whole[:1]
    if len(chosen) != count:
        raise CorruptFileError(
            f"{network} holds {len(chosen)} of {count} shards of its weights.", "Fetch the model again."
        )
    return [path for path, _ in chosen]


@dataclass(frozen=True)
class OpenedCheckpoint:
    """A checkpoint, and what the headers of its files say.

    Attributes:
        asset: The checkpoint.
        failures: Its path to the error, once it could not be read.
    """

    asset: Asset
    failures: dict[str, AssetctlError] = field(default_factory=dict)

    @cached_property
    def header(self) -> Header | None:
        """Header of a single file; `None` for a folder and for what cannot be read."""
        if self.asset.format == "diffusers":
            return None
        try:
            return read_any_header(Path(self.asset.path))
        except AssetctlError as error:
            self.failures[self.asset.path] = error
            return None

    @property
    def readable(self) -> bool:
        """Whether its files are there and whole."""
        return bool(self.header or self.networks)

    @cached_property
    def networks(self) -> Mapping[str, list[Header]]:
        """Headers of the networks of a diffusers folder; empty for a file and for what cannot be read."""
        if self.asset.format != "diffusers":
            return {}
        try:
            return read_networks(Path(self.asset.path))
        except AssetctlError as error:
            self.failures[self.asset.path] = error
            return {}

    @cached_property
    def modules(self) -> Modules | None:
        """What a LoRA can change in it; `None` where its names are none of those that we know."""
        if self.asset.kind not in ("checkpoint", "diffusion-model"):
            return None
        if self.header is not None:
            return modules_of_file(self.header)
        return modules_of_networks(self.networks) if self.networks else None


@dataclass(frozen=True, slots=True)
class Situation:
    """What surrounds a selection: the machine, and what the catalog knows beside it. All of it may be unknown.

    Attributes:
        purpose: What the selection is for, one of `PURPOSES`.
        loading: Tells which assets `generate` could not load, or may not, and why, where that is asked.
        set_by_hand: Fields that a person set, by the path of the asset.
        tokenizer: Folder with the `vocab.json` and `merges.txt` of the checkpoint's text encoder.
        memory: Bytes that the machine has to spare.
        weight_bytes: Of one number, as it is computed with.
        states: Paths of assets that are `changed`, `touched` (written anew with the same bytes) or `unverified`.
        commercial: Whether it is asked what the licences say of selling.
        facts: What sources said of assets, by path.
    """

    purpose: Purpose = "any"
    loading: Callable[[Context], Iterable[tuple[Asset, Severity, AssetctlError]]] | None = None
    set_by_hand: tuple[tuple[str, frozenset[str]], ...] = ()
    tokenizer: str | None = None
    memory: int | None = None
    weight_bytes: int = 2
    states: tuple[tuple[str, str], ...] = ()
    commercial: bool = False
    facts: tuple[tuple[str, Facts], ...] = ()


@dataclass(frozen=True)
class Context:
    """A selection, and what the headers of its files say.

    Attributes:
        selection: What is checked.
        situation: What surrounds it.
        reused: Its checkpoint, opened before; who checks several selections with it reads it once.
    """

    selection: Selection
    situation: Situation = Situation()
    reused: OpenedCheckpoint | None = None
    _failures: dict[str, AssetctlError] = field(default_factory=dict, repr=False)
    _headers: dict[str, Header | None] = field(default_factory=dict, repr=False)
    _changes: dict[int, Changes] = field(default_factory=dict, repr=False)

    def header(self, asset: Asset) -> Header | None:
        """Header of a single-file asset; `None` for a folder and for what cannot be read (see `failure`)."""
        if asset.path not in self._headers:
            self._headers[asset.path] = self._read(asset)
        return self._headers[asset.path]

    @cached_property
    def opened(self) -> OpenedCheckpoint | None:
        """The checkpoint, if there is one."""
        checkpoint = self.selection.checkpoint
        return self.reused or (None if checkpoint is None else OpenedCheckpoint(checkpoint))

    @property
    def modules(self) -> Modules | None:
        """Modules of the checkpoint; `None` without one, or where its names are none of those that we know."""
        return None if self.opened is None else self.opened.modules

    @property
    def networks(self) -> Mapping[str, list[Header]]:
        """Headers of the networks of a checkpoint that is a diffusers folder; empty for what cannot be read."""
        return {} if self.opened is None else self.opened.networks

    def failure(self, asset: Asset) -> AssetctlError | None:
        """Why an asset's file or folder cannot be read, if that is so."""
        self.header(asset)
        if self.opened is not None and self.opened.asset.path == asset.path:
            _ = self.opened.networks
            return self.opened.failures.get(asset.path)
        return self._failures.get(asset.path)

    def headers(self) -> Iterator[Header]:
        """Headers of all files that would be loaded, each once."""
        for asset in dict.fromkeys(self.selection.assets()):
            header = self.header(asset)
            if header is not None:
                yield header
        for parts in self.networks.values():
            yield from parts

    @property
    def generating(self) -> bool:
        """Whether assetctl is to make pictures of it."""
        return self.situation.purpose == "generate"

    def set_by_hand(self, asset: Asset, field: str) -> bool:
        """Whether a person set this field of an asset, and so knows how to set it otherwise."""
        return field in dict(self.situation.set_by_hand).get(asset.path, ())

    def families_of(self, asset: Asset) -> tuple[str, ...]:
        """The families that an asset's tensors allow; none where they tell nothing, or cannot be read."""
        header = self.header(asset)
        found = () if header is None else identify_header(header).evidence
        claims = [item.claim for item in found if item.source == "tensors" and item.claim.startswith("family=")]
        return tuple(claim.removeprefix("family=") for claim in claims)

    def may_be(self, asset: Asset, family: str | None) -> bool:
        """Whether an asset is taken for another family than this one by its tensors alone, which allow both."""
        header = self.header(asset)
        if header is None or asset.base_model is not None or self.set_by_hand(asset, "family"):
            return False
        found = identify_header(header)
        said = any((item.source, item.claim) == ("metadata", f"family={asset.family}") for item in found.evidence)
        likely = (found.family, found.confidence) == (asset.family, "likely")
        return likely and not said and family in self.families_of(asset)

    def to_set_family(self, asset: Asset, family: str) -> str | None:
        """How a person makes an asset one of `family`: by taking back what they set, or nohow where tensors forbid."""
        if self.set_by_hand(asset, "family"):
            return f"You set the family of {asset.name}: `assetctl edit {asset.typed} --reset family` takes that back."
        allowed = self.families_of(asset)
        if asset.format == "diffusers" or (allowed and family not in allowed):
            return None
        return f"If {asset.name} is wrongly labelled: `assetctl edit {asset.typed} --family {family}`."

    @cached_property
    def loras(self) -> tuple[Asset, ...]:
        """What is used as a LoRA and is one, each once."""
        return tuple(dict.fromkeys(use.asset for use in self.selection.loras if use.asset.kind == "lora"))

    @cached_property
    def embeddings(self) -> tuple[Asset, ...]:
        """What is used as an embedding and is one, each once."""
        return tuple(dict.fromkeys(asset for asset in self.selection.embeddings if asset.kind == "embedding"))

    @cached_property
    def coverage(self) -> tuple[tuple[Asset, Coverage], ...]:
        """What each LoRA would change in the checkpoint; none of those that cannot be compared with it."""
        modules = self.modules
        if modules is None:
            return ()
        compared = cache(lambda changes: changes.compared(modules))
        found = []
        for lora in self.loras:
            header, changes = self.header(lora), self.changes(lora)
            covered = header and of_lora(lora.name, header, compared(changes))
            found += [(lora, covered)] if covered else []
        return tuple(found)

    def changes(self, lora: Asset) -> Changes | None:
        """What a LoRA's tensors change; one for all LoRAs that have the same ones, as those of one trainer may."""
        header = self.header(lora)
        if header is None:
            return None
        table = id(header.tensors)  # which stays its own, as the headers are kept
        if table not in self._changes:
            self._changes[table] = Changes(header)
        return self._changes[table]

    def _read(self, asset: Asset) -> Header | None:
        if self.opened is not None and self.opened.asset.path == asset.path:
            return self.opened.header
        if asset.format == "diffusers":
            return None
        try:
            return read_any_header(Path(asset.path))
        except AssetctlError as error:
            self._failures[asset.path] = error
            return None


def serves(use: AssetUse) -> bool:
    """Whether an asset is of the kind that its role asks for.

    A UNet or transformer alone may stand in for a checkpoint: it is what most of FLUX and later come as.
    """
    return use.asset.kind == use.role or (use.role, use.asset.kind) == ("checkpoint", "diffusion-model")


def flavour_of(selection: Selection) -> str:
    """Whose way its prompts are read in."""
    return str(selection.settings.get("flavour") or option("flavour").usual)


def prompts_of(selection: Selection) -> list[str]:
    """The prompts that are there to be checked against; an empty one says something too."""
    return [prompt for prompt in (selection.prompt, selection.negative_prompt) if prompt is not None]


def audible(prompt: str) -> ParsedPrompt:
    """The prompt without its parts of weight 0, which say nothing."""
    parsed = parse_prompt(prompt)
    return replace(parsed, segments=tuple((text, weight) for text, weight in parsed.segments if weight != 0))


def silenced(prompt: str) -> list[str]:
    """The parts of weight 0."""
    return [text.strip() for text, weight in parse_prompt(prompt).segments if weight == 0 and text.strip()]


GROUP = "assetctl.rules"


class RuleModule(Protocol):
    """What a file of a rule, or the object behind an entry point, offers."""

    RULE: Rule

    def check(self, context: Context, /) -> Iterable[Finding]:
        """Everything this rule has to say of a selection."""
        ...


@cache
def rule_modules() -> tuple[RuleModule, ...]:
    """All rules, by name.

    Raises:
        UsageError: Two rules share a name, or one of another package cannot be loaded.
    """
    modules = pkgutil.iter_modules([str(Path(__file__).with_name("rules"))])
    own = [importlib.import_module(f"assetctl.compat.rules.{module.name}") for module in modules]
    found: dict[str, RuleModule] = {}
    for module in (*own, *_foreign()):
        name = module.RULE.name
        if name in found:
            raise UsageError(f"There are two rules named {name}.", "Uninstall the package that brings the second.")
        found[name] = module
    return tuple(found[name] for name in sorted(found))


def _foreign() -> list[RuleModule]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - costs as much as a whole check, and is needed once

    loaded = []
    for point in entry_points(group=GROUP):
        hint = "Update or uninstall the package that brings it."
        try:
            module = point.load()
        except (ImportError, AttributeError) as error:
            raise UsageError(f"The rule {point.value} cannot be loaded: {error}.", hint) from error
        if not hasattr(module, "RULE") or not callable(getattr(module, "check", None)):
            raise UsageError(f"{point.value} is no rule: it lacks RULE or check.", hint)
        loaded.append(module)
    return loaded


_ORDER = ("error", "warning", "info")


def run_rules(
    selection: Selection,
    situation: Situation = Situation(),
    *,
    opened: OpenedCheckpoint | None = None,
    only: Container[str] | None = None,
) -> CheckReport:
    """Ask every rule about a selection.

    A file that cannot be read becomes a finding; the other rules go on. Findings stand by severity, then by rule.

    Args:
        selection: What is checked.
        situation: What surrounds it.
        opened: Its checkpoint, where several selections with the same one are asked about: it is read once.
        only: Names of the rules to ask; all by default.
    """
    context = Context(selection, situation, opened)
    asked = (module for module in rule_modules() if only is None or module.RULE.name in only)
    findings = [finding for module in asked for finding in _asked(module, context)]
    findings.sort(key=lambda finding: _ORDER.index(finding.severity))
    coverage = tuple(covered for _, covered in context.coverage)
    errors = {finding.rule for finding in findings if finding.severity == "error"}
    of_fit = errors - {module.RULE.name for module in rule_modules() if module.RULE.generating}
    can = not errors if context.generating else None
    return CheckReport(not of_fit, tuple(findings), coverage, situation.purpose, can)


def refusal(report: CheckReport) -> AssetctlError | None:
    """The error that the findings of a report come to; `None` where nothing stands against the selection.

    Whoever refuses a selection does so with this, so that all commands have one code and one sentence for it. What is
    not here comes first; that files are not what they should be, or that assetctl cannot generate with something, is
    said only where everything fits otherwise.
    """
    errors = [finding for finding in report.findings if finding.severity == "error"]
    if not errors:
        return None
    told_as = {module.RULE.name: module.RULE.told_as for module in rule_modules()}
    found = [(finding, told_as.get(finding.rule, IncompatibleError)) for finding in errors]
    for finding, kind in found:
        if issubclass(kind, NotFoundError):
            return kind(finding.message, finding.hint)
    first, kind = found[0]
    if all(issubclass(each, FileError) for _, each in found):
        return kind(first.message, first.hint)
    if all(issubclass(each, (FileError, UnusableError)) for _, each in found):
        return UnusableError(first.message, first.hint, report.findings if len(errors) > 1 else ())
    return IncompatibleError(
        f"This selection cannot work together: {len(errors)} {'problem' if len(errors) == 1 else 'problems'}.",
        "Fix what the findings name; `assetctl check` tries a selection without generating.",
        report.findings,
    )


#: Rules whose findings say that something could not be told.
_LEFT_OPEN = frozenset({"no_checkpoint", "not_compared", "unknown_family"})


def verdict(report: CheckReport) -> str:
    """A report in one sentence: whether it fits, and whether assetctl can generate with it, where that was asked."""
    refused = refusal(report)
    if isinstance(refused, IncompatibleError):
        return "This selection cannot work together."
    if refused is not None and not report.ok:
        return f"This selection cannot be used: {refused.message}"
    fits = "This selection fits."
    if any(finding.rule in _LEFT_OPEN for finding in report.findings):
        fits = "Nothing speaks against this selection, as far as it could be compared."
    if refused is not None:
        return f"{fits[:-1]}, but assetctl cannot generate this: {refused.message}"
    return f"{fits} assetctl can generate this." if report.can_generate else fits


def list_rules() -> tuple[Rule, ...]:
    """What each rule looks for, by name."""
    return tuple(module.RULE for module in rule_modules())


def _asked(module: RuleModule, context: Context) -> Iterator[Finding]:
    try:
        yield from module.check(context)
    except AssetctlError as error:
        yield module.RULE.finding("error", error.message, error.hint)
