"""What somebody asks for, however they say it: flags, Python, a recipe, another picture, a program over the network.

A `Request` comes to a `Plan`, of which a `Backend` makes each `Picture`.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from assetctl import options
from assetctl.errors import UsageError
from assetctl.types import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from assetctl.options import Settings
    from assetctl.prompt import ParsedPrompt
    from assetctl.run import Run
    from assetctl.types import AssetUse, Finding

#: Roles of which a request has one asset at most: what is typed takes the place of what a recipe says.
_SINGLE = ("checkpoint", "vae")


@dataclass(frozen=True, slots=True)
class Use:
    """One asset to be used.

    Attributes:
        role: One of `ROLES`; `None` leaves it to the asset's kind.
        reference: Its name, path or hash.
        weight: How strongly it is applied; `None` for the asset's own default, or 1.
        yields: Whether it makes way for another in its place, as what a recipe names does.
        text_weight: How strongly a LoRA changes text encoders, where that is not as strongly as all else.

    Raises:
        UsageError: There is no such role, or the weight is no number within bounds.
    """

    role: str | None
    reference: str
    weight: float | None = None
    yields: bool = False
    text_weight: float | None = None

    def __post_init__(self) -> None:
        """See that it makes sense."""
        if not isinstance(self.reference, str):
            raise UsageError(f"An asset is named by a text, not by {options.shown(self.reference)}.")
        if self.role is not None and self.role not in ROLES:
            raise UsageError(f"There is no role {self.role!r:.40}.", f"Roles are: {', '.join(ROLES)}.")
        for weight in (self.weight, self.text_weight):
            if weight is not None:
                options.check_weight(weight, repr(self.reference))

    @classmethod
    def parse(cls, role: str | None, text: str) -> Self:
        """`NAME`, `NAME:WEIGHT`, or `NAME:TEXT:UNET`, the weights for text encoders and for all else, as A1111's tags.

        Only a number behind the last colon is a weight, so that paths with colons work.

        Raises:
            UsageError: A weight is infinite, or none.
        """
        name, weight = _weighed(str(text))
        if weight is None or not name:
            return cls(role, text)
        before, text_weight = _weighed(name)
        if text_weight is None or not before:
            return cls(role, name, weight)
        return cls(role, before, weight, text_weight=text_weight)

    def __str__(self) -> str:
        weights = [each for each in (self.text_weight, self.weight) if each is not None]
        return ":".join([self.reference, *(repr(each).removesuffix(".0") for each in weights)])


def _weighed(text: str) -> tuple[str, float | None]:
    """What stands before the last colon, and the number behind it, if one does."""
    name, _, number = text.rpartition(":")
    try:
        return name, float(number)
    except ValueError:
        return text, None


@dataclass(frozen=True, slots=True)
class Input:
    """A picture to start from: `role` is `image`, `mask` or `control`."""

    role: str
    path: Path


@dataclass(frozen=True, slots=True)
class Output:
    """Where pictures go.

    Attributes:
        path: A folder, or the first picture's name; `None` for the outputs folder.
        format: `png`, `jpg` or `webp`; what the name says unless given, and else `png`.
        force: Replace the files of that very name.
    """

    path: Path | None = None
    format: str | None = None
    force: bool = False


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a check or a generation; what is `None`, or not there, is left to whoever fills it.

    Attributes:
        uses: The assets. LoRAs that the prompts name in tags come on top.
        prompt: What the picture shows, in A1111's dialect, `<lora:name:weight>` included.
        negative_prompt: What it must not show, in the same dialect.
        settings: Values by the names of `assetctl.options`.
        inputs: Pictures to start from.
        count: How many pictures.
        output: Where they go.
        auto_embeddings: Whether embeddings are found by their words in the prompts; yes, where nothing is said.
        dynamic: Whether the prompts are templates of which each picture's are drawn; no, where nothing is said.

    Raises:
        UsageError: A setting that there is not, or whose value makes no sense; a count out of bounds.
    """

    uses: tuple[Use, ...] = ()
    prompt: str | None = None
    negative_prompt: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    count: int | None = None
    output: Output | None = None
    auto_embeddings: bool | None = None
    dynamic: bool | None = None

    def __post_init__(self) -> None:
        """See that all of it makes sense: no asset has to be known for that."""
        for called in ("prompt", "negative_prompt"):
            if not isinstance(getattr(self, called), str | None):
                raise UsageError(f"The {called} must be a text, not {options.shown(getattr(self, called))}.")
        object.__setattr__(self, "settings", options.checked(self.settings))
        count = 1 if self.count is None else self.count
        if type(count) is not int or not 1 <= count <= MAX_COUNT:
            raise UsageError(f"--count must be 1 to {MAX_COUNT}, not {options.shown(self.count)}.", options.SEE_HELP)

    @classmethod
    def of(  # noqa: PLR0913 - as many as there are roles
        cls,
        prompt: str | None = None,
        negative_prompt: str | None = None,
        *,
        names: Iterable[str] = (),
        checkpoint: str | None = None,
        loras: Iterable[str] | Mapping[str, float | None] = (),
        embeddings: Iterable[str] = (),
        vae: str | None = None,
        controlnets: Iterable[str] = (),
        count: int | None = None,
        output: Output | Path | str | None = None,
        auto_embeddings: bool | None = None,
        dynamic: bool | None = None,
        **settings: Any,  # noqa: ANN401 - as many types as there are options
    ) -> Self:
        """A request in words: `Request.of("a cat", checkpoint="dreamshaper", loras=["whiskers:0.8"], steps=20)`.

        Args:
            prompt: See `Request`.
            negative_prompt: Likewise.
            names: Assets of any kind, each of which finds its place by its kind; a LoRA may be `NAME:WEIGHT`.
            checkpoint: By name, path or hash, as all others.
            loras: Each `NAME` or `NAME:WEIGHT`; or weights by name, `{"whiskers": 0.8}`, `None` for an asset's own.
            embeddings: By name.
            vae: One in place of the checkpoint's own.
            controlnets: By name.
            count: How many pictures.
            output: Where they go: a path, or more than that as `Output`.
            auto_embeddings: See `Request`.
            dynamic: Likewise.
            settings: `steps`, `cfg_scale`, `sampler`, `seed`, `width`, `height` and what else `assetctl.options` has.

        Raises:
            UsageError: One text stands where several names are taken, or a setting makes no sense.
        """
        single = {"checkpoint": checkpoint, "vae": vae}
        several = {"names": names, "loras": loras, "embeddings": embeddings, "controlnets": controlnets}
        for called, given in several.items():
            if isinstance(given, str):  # it would be read letter by letter
                raise UsageError(f"{called} takes several names, not one text.", f"Write {called}=[{given!r}].")
            if isinstance(given, Mapping) and called != "loras":  # what stands behind the names would be lost
                raise UsageError(f"{called} takes names alone, and only LoRAs take weights.", f"Write {called}=[…].")
        uses = [Use(role, name) for role, name in single.items() if name is not None]
        uses += lora_uses(loras)
        uses += [Use(role, text) for role in ("embedding", "controlnet") for text in several[f"{role}s"]]
        uses += [Use.parse(None, text) for text in names]
        place = Output(Path(output)) if isinstance(output, str | Path) else output
        return cls(
            tuple(uses),
            prompt,
            negative_prompt,
            settings,
            count=count,
            output=place,
            auto_embeddings=auto_embeddings,
            dynamic=dynamic,
        )

    def over(self, base: Request) -> Request:
        """This request laid over another: what it leaves open is as there.

        Of checkpoints and VAEs its own counts; all other assets of both are used. What a name without a role stands
        for is not known yet: the base's own make way for it.
        """
        own = {use.role for use in self.uses}
        under = [use for use in base.uses if use.role not in _SINGLE or use.role not in own]
        if None in own:
            under = [replace(use, yields=use.role in _SINGLE) for use in under]
        return replace(
            self,
            uses=tuple(sorted((*under, *self.uses), key=lambda use: _place(use.role))),
            prompt=base.prompt if self.prompt is None else self.prompt,
            negative_prompt=base.negative_prompt if self.negative_prompt is None else self.negative_prompt,
            settings={**base.settings, **self.settings},
            inputs=self.inputs or base.inputs,
            count=base.count if self.count is None else self.count,
            output=base.output if self.output is None else self.output,
            auto_embeddings=base.auto_embeddings if self.auto_embeddings is None else self.auto_embeddings,
            dynamic=base.dynamic if self.dynamic is None else self.dynamic,
        )

    def of_role(self, role: str) -> tuple[Use, ...]:
        """The assets of one role."""
        return tuple(use for use in self.uses if use.role == role)


def lora_uses(given: Iterable[str] | Mapping[str, float | None]) -> list[Use]:
    """LoRAs as a person lists them, or as weights by name.

    Raises:
        UsageError: A weight is none.
    """
    if not isinstance(given, Mapping):
        return [Use.parse("lora", text) for text in given]
    for name, weight in given.items():
        if weight is not None and not options.is_number(weight):
            raise UsageError(
                f"The weight of {options.shown(name)} is {options.shown(weight)}.", """Write {"whiskers": 0.8}."""
            )
        if weight is not None:
            options.check_weight(weight, options.shown(name))  # some whole numbers are too large to be others
    return [Use("lora", name, None if weight is None else float(weight)) for name, weight in given.items()]


#: Characters of a prompt.
MAX_PROMPT = 100_000


def refuse_length(*prompts: str | None) -> None:
    """Refuse prompts that nobody writes, and that take long to read.

    Raises:
        UsageError: One is longer than `MAX_PROMPT`.
    """
    longest = max((len(prompt) for prompt in prompts if prompt), default=0)
    if longest > MAX_PROMPT:
        hint = "A prompt is a few lines: see what was typed or piped."
        raise UsageError(f"The prompt has {longest} characters: {MAX_PROMPT} are the most.", hint)


#: Pictures of one request.
MAX_COUNT = 64


def _place(role: str | None) -> int:
    return ROLES.index(role) if role in ROLES else len(ROLES)


@dataclass(frozen=True, slots=True)
class PlannedUse:
    """One asset of a plan: what it is and where it lies, by its content; what a person noted of it is not here.

    Attributes:
        sha256: `None` in a plan that is only looked at, where it was left for later.
        source: Where others could get it.
        weight: How strongly it is applied.
        found_by: The word of a prompt that an embedding was found by; `None` of what somebody chose.
        text_weight: How strongly a LoRA changes text encoders, where that is not as strongly as all else.
    """

    role: str
    name: str
    kind: str
    family: str | None
    base_model: str | None
    variant: str | None
    prediction: str | None
    format: str | None
    layout: str | None
    path: str
    sha256: str | None
    autov3: str | None
    trigger_words: tuple[str, ...]
    source: str | None
    weight: float = 1.0
    found_by: str | None = None
    text_weight: float | None = None

    @classmethod
    def of(cls, use: AssetUse) -> PlannedUse:
        """What a plan needs of an asset."""
        said = {name: getattr(use, name) for name in ("role", "weight", "found_by", "text_weight")}
        return cls(
            **said, **{each.name: getattr(use.asset, each.name) for each in fields(cls) if each.name not in said}
        )

    @property
    def token(self) -> str:
        """Of an embedding: the word that stands for it in a prompt."""
        return next(iter(self.trigger_words), self.name)

    @property
    def typed(self) -> str:
        """The name as one types it in a shell."""
        return shlex.quote(self.name)

    @property
    def applied_weight(self) -> float | None:
        """The weight, of what has one."""
        return self.weight if self.role == "lora" else None

    @property
    def autov2(self) -> str | None:
        """The first ten digits of the SHA256."""
        return None if self.sha256 is None else self.sha256[:10]


@dataclass(frozen=True, slots=True)
class Plan:
    """A request made exact: every asset found and checked, every default chosen.

    Attributes:
        uses: The assets, the checkpoint first. LoRAs named in the prompt are among them; weights are final.
        prompt: The prompt without its LoRA tags.
        negative_prompt: Likewise.
        settings: A value for each of `assetctl.options`; the seed is the first picture's.
        seeds: One per picture.
        prediction: `epsilon`, `v_prediction`, or `None` where the checkpoint's own configuration decides.
        tokenizer: Folder with `vocab.json` and `merges.txt` of CLIP, for a single-file checkpoint;
            or a diffusers configuration folder that stands beside the checkpoint.
        device: `auto` or a torch device.
        dtype: `auto`, `bf16`, `fp32` or `fp16`.
        threads: How many threads compute; `None` for as many as suit the machine.
    """

    uses: tuple[PlannedUse, ...]
    prompt: ParsedPrompt
    negative_prompt: ParsedPrompt
    settings: Settings
    seeds: tuple[int, ...]
    prediction: str | None = None
    tokenizer: Path | None = None
    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None

    def of(self, role: str) -> tuple[PlannedUse, ...]:
        """The assets of one role."""
        return tuple(use for use in self.uses if use.role == role)

    @property
    def checkpoint(self) -> PlannedUse:
        """The checkpoint, which every plan has."""
        return self.of("checkpoint")[0]

    @property
    def vae(self) -> PlannedUse | None:
        """A VAE in place of the checkpoint's own."""
        return next(iter(self.of("vae")), None)


def loading_order(plans: Sequence[Plan]) -> list[int]:
    """The numbers of plans in the order that loads least, and else as they come.

    Each checkpoint is loaded once; with it each VAE, then each set of embeddings, then each set of LoRAs.
    """
    first: dict[object, int] = {}
    places: list[tuple[int, ...]] = []
    for number, plan in enumerate(plans):
        # A1111's and ComfyUI's pictures are computed in another precision than diffusers'
        theirs = plan.settings.get("flavour") in ("a1111", "comfyui")
        model = (plan.checkpoint, plan.prediction, plan.tokenizer, plan.device, plan.dtype, theirs)
        loaded = [model, (model, plan.vae), (model, plan.vae, plan.of("embedding")), (model, plan.uses)]
        places.append(tuple(first.setdefault((depth, each), number) for depth, each in enumerate(loaded)))
    return sorted(range(len(plans)), key=places.__getitem__)


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture that a backend made.

    Attributes:
        image: A `PIL.Image.Image`.
        seed: The seed that made it.
        environment: What else its bytes depend on: device, dtype, threads, processor, versions.
        findings: What showed only when the assets were loaded.
        seconds: How long it took, once all was loaded.
    """

    image: Any
    seed: int
    environment: dict[str, str] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0


class Backend(Protocol):
    """Something that can make pictures of a plan."""

    name: str

    def environment(self, device: str, dtype: str, threads: int | None) -> dict[str, str]:
        """What a picture that is made here would record, asked for this device, precision and number of threads.

        What cannot be had here is replaced by what can, as `auto` would.

        Raises:
            MissingExtraError: The packages for it are not installed.
        """
        ...

    def generate(self, plan: Plan, run: Run) -> Iterator[Picture]:
        """Make the plan's pictures one by one: `Started` with the stage `load` comes first, then a `Step` for each.

        Raises:
            Cancelled: The run was cancelled.
            MissingExtraError: The packages for it are not installed.
            GenerationError: The assets could not be loaded, or a picture could not be made.
        """
        ...
