"""Prompts become what a UNet is conditioned on, textual inversions among CLIP's own vectors."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from assetctl.errors import UnusableError
from assetctl.files.safetensors import FLOATS, NUMBERS, read_header
from assetctl.options import sizes_of
from assetctl.prompt import ParsedPrompt, parse_prompt, without_tags
from assetctl.prompt.chunks import Chunk, Token, cut_prompt
from assetctl.prompt.flavours import composed, cut_comfyui, timeline
from assetctl.prompt.syntax import bare
from assetctl.samplers import LEGACY, asks_twice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from diffusers import DiffusionPipeline
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from assetctl.options import Settings
    from assetctl.request import PlannedUse

    #: What is told, each with the last time that the model is asked with it.
    Timeline = tuple[tuple[int, "Conditioning"], ...]
    Run = Callable[[Chunk], tuple[torch.Tensor, torch.Tensor | None]]
    Weigh = Callable[[torch.Tensor, Sequence[Sequence[float]], Callable[[], torch.Tensor]], torch.Tensor]

#: Names of SDXL's two tensors, in the order of its encoders.
_SDXL = ("clip_l", "clip_g")


def add_embeddings(assets: Sequence[PlannedUse], encoders: Sequence[Encoder]) -> None:
    """Teach the encoders the tokens of `assets`.

    Raises:
        UnusableError: An embedding is made for another family, or too long for one chunk.
        FileError: Its file is refused or corrupt.
    """
    read = [(asset.token, _vectors(asset, encoders)) for asset in assets]
    for index, encoder in enumerate(encoders):
        if read:
            _extend(encoder, [(token, vectors[index]) for token, vectors in read])


def _vectors(asset: PlannedUse, encoders: Sequence[Encoder]) -> list[torch.Tensor]:
    """The vectors for each encoder, as (vectors, width)."""
    path = Path(asset.path)
    header = read_header(path)
    names = set(header.tensors)
    wanted = list(_SDXL) if len(encoders) > 1 else [name for name in names if len(names) == 1]
    if not wanted or not names.issuperset(wanted):
        raise _misfit(asset, f"it holds {', '.join(sorted(names)[:4]) or 'nothing'}")
    for name in wanted:
        kind = header.tensors[name]["dtype"]
        if kind not in FLOATS:
            raise _unusable(asset, f"its vectors are {NUMBERS.get(kind, kind)}, which vectors of words never are")
    tensors = load_file(path)
    vectors = [tensors[name] if tensors[name].ndim != 1 else tensors[name][None] for name in wanted]
    for each, encoder in zip(vectors, encoders, strict=True):
        width = encoder.model.get_input_embeddings().weight.shape[1]
        if each.ndim != 2 or each.shape[1] != width:
            raise _misfit(asset, f"its vectors are {each.shape[-1]} wide, and the checkpoint's text encoder is {width}")
        if not 0 < len(each) <= encoder.length - 2 or len(each) != len(vectors[0]):
            raise _misfit(asset, f"it has {len(each)} vectors")
        if not torch.isfinite(each.float()).all():
            raise _unusable(asset, "it is damaged: some of its numbers are NaN or infinite")
    return vectors


def _misfit(asset: PlannedUse, why: str) -> UnusableError:
    return UnusableError(
        f"The embedding {asset.name} does not fit the checkpoint: {why}.",
        f"See its family with `assetctl inspect {asset.typed}`.",
    )


def _unusable(asset: PlannedUse, why: str) -> UnusableError:
    return UnusableError(
        f"The embedding {asset.name} cannot be used: {why}.", "Fetch it again from its source, or leave it out."
    )


def _extend(encoder: Encoder, added: Sequence[tuple[str, torch.Tensor]]) -> None:
    """Append vectors to the encoder's table and note where each token's are."""
    table = encoder.model.get_input_embeddings()
    old = table.weight
    new = torch.cat([vectors for _, vectors in added]).to(old)
    table.weight = torch.nn.Parameter(torch.cat([old, new]), requires_grad=False)
    table.num_embeddings = len(table.weight)
    start = len(old)
    for token, vectors in added:
        encoder.embeddings[token] = tuple(range(start, start + len(vectors)))
        start += len(vectors)


def drop_embeddings(encoders: Iterable[Encoder], tokens: Sequence[str]) -> None:
    """Have the encoders know these tokens no longer, which were added last."""
    for encoder in encoders if tokens else ():
        table = encoder.model.get_input_embeddings()
        gone = sum(len(encoder.embeddings.pop(token, ())) for token in tokens)
        table.weight = torch.nn.Parameter(table.weight[: len(table.weight) - gone].clone(), requires_grad=False)
        table.num_embeddings = len(table.weight)


@dataclass(frozen=True, slots=True)
class Encoder:
    """One text encoder of a pipeline.

    Attributes:
        tokenizer: Its tokenizer, which knows nothing of embeddings.
        model: The transformers model.
        embeddings: Token of each embedding to the numbers of its vectors in the model's table.
    """

    tokenizer: PreTrainedTokenizerBase
    model: PreTrainedModel
    embeddings: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens of a whole chunk, its start and end included: 77."""
        return min(int(self.tokenizer.model_max_length), int(self.model.config.max_position_embeddings))

    def tokenize(self, text: str) -> list[Token]:
        """The tokens of plain text."""
        return [Token(word) for word in self.tokenizer(text, add_special_tokens=False, verbose=False).input_ids]


@dataclass(frozen=True, slots=True)
class Conditioning:
    """What the UNet is told: `states` is (1, tokens, width); for SDXL `pooled` is (1, width).

    `sizes` are what SDXL is told of the picture, as `options.sizes_of` has them, where they are not the picture's own.
    """

    states: torch.Tensor
    pooled: torch.Tensor | None = None
    sizes: tuple[int, ...] = ()


def encoders_of(pipeline: DiffusionPipeline) -> tuple[Encoder, ...]:
    """The text encoders of a pipeline, SDXL's two in order."""
    first = Encoder(pipeline.tokenizer, pipeline.text_encoder)
    second = getattr(pipeline, "text_encoder_2", None)
    return (first,) if second is None else (first, Encoder(pipeline.tokenizer_2, second))


#: A shorter prompt's states are repeated until both have one length, where that is not longer than so many times.
_MOST_REPEATS = 16


def encode(
    encoders: Sequence[Encoder], prompts: Iterable[ParsedPrompt], skip: int = 1, flavour: str = LEGACY
) -> list[Conditioning]:
    """Encode prompts, all to the same length.

    The states of shorter ones are repeated, which attention does not tell from one that stands alone; in pictures that
    were made before that was so, they end in empty chunks.

    Args:
        encoders: The text encoders.
        prompts: A prompt, or a prompt and a negative one.
        skip: A1111's "Clip skip": which layer of a single encoder is read, counted from the last.
        flavour: Whose way of cutting and weighing it is: A1111's for all but ComfyUI.
    """
    comfyui = flavour == "comfyui"
    chunked = [[(cut_as_comfyui if comfyui else cut)(prompt, each) for each in encoders] for prompt in prompts]
    counts = [max(map(len, each)) for each in chunked]
    if flavour == LEGACY or math.lcm(*counts) > _MOST_REPEATS * max(counts):
        counts = [max(counts)] * len(counts)
    longest = math.lcm(*counts)
    weigh = weigh_from_nothing if comfyui else emphasise
    with torch.no_grad():
        found = [_encode_one(encoders, each, count, skip, weigh) for each, count in zip(chunked, counts, strict=True)]
    return [
        replace(each, states=each.states.repeat(1, longest // count, 1))
        for each, count in zip(found, counts, strict=True)
    ]


def _encode_one(
    encoders: Sequence[Encoder], chunked: Sequence[list[Chunk]], most: int, skip: int, weigh: Weigh
) -> Conditioning:
    (found,) = _encode_together(encoders, [chunked], most, skip, weigh)
    return found


def _encode_together(
    encoders: Sequence[Encoder], texts: Sequence[Sequence[list[Chunk]]], most: int, skip: int, weigh: Weigh
) -> list[Conditioning]:
    """Encode texts whose chunks are weighed together, place by place; each has its chunks for each encoder."""
    states: list[list[torch.Tensor]] = [[] for _ in texts]
    pooled: list[torch.Tensor | None] = [None for _ in texts]
    for number, encoder in enumerate(encoders):

        def run(chunk: Chunk, encoder: Encoder = encoder) -> tuple[torch.Tensor, torch.Tensor | None]:
            return _encode_chunk(encoder, chunk, skip, sdxl=len(encoders) > 1)

        places: list[list[torch.Tensor]] = [[] for _ in texts]
        for place in range(most):
            chunks = [text[number][place] if place < len(text[number]) else Chunk() for text in texts]
            found, summaries = zip(*map(run, chunks), strict=True)
            weighed = weigh(torch.cat(found), [_weights(each, encoder) for each in chunks], lambda: run(Chunk())[0])
            for own, each in zip(places, weighed, strict=True):
                own.append(each[None])
            pooled = list(summaries) if place == 0 else pooled
        for own, each in zip(states, places, strict=True):
            own.append(torch.cat(each, dim=1))
    # SDXL's two encoders stand side by side, and the second one's pooled output counts
    return [Conditioning(torch.cat(each, dim=-1), summary) for each, summary in zip(states, pooled, strict=True)]


def _weights(chunk: Chunk, encoder: Encoder) -> list[float]:
    """Of a chunk's tokens, its start, end and padding included."""
    return [1.0, *chunk.weights, *[1.0] * (encoder.length - 1 - chunk.count)]


def _encode_chunk(encoder: Encoder, chunk: Chunk, skip: int, *, sdxl: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    tokenizer, model = encoder.tokenizer, encoder.model
    padding = encoder.length - 2 - len(chunk.ids)
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id] + [tokenizer.pad_token_id] * padding
    batch = torch.tensor([ids], device=model.device)
    output = model(batch, output_hidden_states=True) if sdxl or skip > 1 else model(batch)
    if sdxl:  # the last layer but one, unless ComfyUI was told of another
        return output.hidden_states[-min(max(skip, 2), len(output.hidden_states))], output[0]
    return _read_layer(model, output, skip), None


def _read_layer(model: PreTrainedModel, output: Any, skip: int) -> torch.Tensor:  # noqa: ANN401 - transformers' own type
    """What the encoder's last layer says, or the one that is `skip` from the end, normed as the last one is."""
    states: torch.Tensor = output[0]
    if skip > 1:
        layer = output.hidden_states[max(-skip, 1 - len(output.hidden_states))]
        states = getattr(model, "text_model", model).final_layer_norm(layer)
    return states


def emphasise(
    states: torch.Tensor, weights: Sequence[Sequence[float]], _nothing: Callable[[], torch.Tensor] | None = None
) -> torch.Tensor:
    """Scale each token's state by its weight, then all chunks back to the mean that they had.

    Args:
        states: (texts, tokens, width).
        weights: One per token of each text.
    """
    if all(weight == 1.0 for each in weights for weight in each):
        return states
    exact = states.float()
    scaled = exact * torch.tensor(weights, device=states.device)[:, :, None]
    return (scaled * (exact.mean() / scaled.mean())).to(states.dtype)


def scale(
    states: torch.Tensor, weights: Sequence[Sequence[float]], _nothing: Callable[[], torch.Tensor] | None = None
) -> torch.Tensor:
    """Scale each token's state by its weight, and no more: A1111's "No norm"."""
    return (states.float() * torch.tensor(weights, device=states.device)[:, :, None]).to(states.dtype)


def weigh_from_nothing(
    states: torch.Tensor, weights: Sequence[Sequence[float]], nothing: Callable[[], torch.Tensor]
) -> torch.Tensor:
    """Go from the state that an empty prompt has in a token's place to the token's, times its weight (ComfyUI).

    Args:
        states: (texts, tokens, width).
        weights: One per token of each text.
        nothing: Encodes an empty prompt.
    """
    if all(weight == 1.0 for each in weights for weight in each):
        return states
    empty = nothing().float()
    many = torch.tensor(weights, device=states.device)[:, :, None]
    weighed = (states.float() - empty) * many + empty
    return torch.where(many == 1.0, states, weighed.to(states.dtype))


def cut(prompt: ParsedPrompt, encoder: Encoder) -> list[Chunk]:
    """Tokenise a prompt and cut it into chunks. There is always at least one."""
    comma = encoder.tokenizer.convert_tokens_to_ids(",</w>")
    return cut_prompt(prompt, encoder.tokenize, comma, encoder.embeddings, encoder.length - 2)


def cut_as_comfyui(prompt: ParsedPrompt, encoder: Encoder) -> list[Chunk]:
    """The same, as ComfyUI reads it."""
    return cut_comfyui(without_tags(prompt.text), encoder.tokenize, encoder.embeddings, encoder.length - 2)


@dataclass(frozen=True, slots=True)
class Guidance:
    """What a picture is to be like, and what not, each time that the model is asked.

    Attributes:
        towards: What it is to be like: a weight, and what there is up to the last time that it counts.
        away: What it must not be like; nothing where it is not guided.
    """

    towards: tuple[tuple[float, Timeline], ...]
    away: Timeline = ()

    @classmethod
    def of(cls, prompts: Mapping[str, torch.Tensor]) -> Guidance:
        """What a pipeline would be given, for all of a picture."""
        found = [
            ((0, Conditioning(prompts[f"{name}prompt_embeds"], prompts.get(f"{name}pooled_prompt_embeds"))),)
            for name in ("", "negative_")
            if f"{name}prompt_embeds" in prompts
        ]
        return cls(((1.0, found[0]),), *found[1:])

    def at(self, time: int) -> tuple[list[tuple[float, Conditioning]], Conditioning | None]:
        """What counts when the model is asked, the first time as 0."""
        return [(weight, _at(each, time)) for weight, each in self.towards], _at(self.away, time) if self.away else None


def _at(timeline: Timeline, time: int) -> Conditioning:
    return next((each for end, each in timeline if time <= end), timeline[0][1])


def guidance(
    encoders: Sequence[Encoder], prompts: Sequence[ParsedPrompt], settings: Settings, skip: int, *, zeros: bool
) -> Guidance:
    """What the prompts are in the way of A1111 or ComfyUI, each as long as it is by itself.

    Args:
        encoders: The text encoders.
        prompts: A prompt, or a prompt and a negative one.
        settings: As `assetctl.options` has them, whole.
        skip: Which layer of a text encoder is read, counted from the last.
        zeros: Whether an empty negative prompt is nought to A1111.
    """
    with torch.no_grad():
        if settings["flavour"] == "comfyui":
            found = [
                _of_comfyui(encoders, each, str(settings[first]), str(settings[sizes]), skip)
                for each, first, sizes in zip(
                    prompts, ("prompt_l", "negative_l"), ("sizes", "negative_sizes"), strict=False
                )
            ]
            return Guidance(((1.0, found[0]),), *found[1:])
        way = _Way.of(encoders, settings, skip)
        towards = [(weight, way.timeline(text)) for text, weight in composed(bare(prompts[0].text))]
        away = [way.timeline(bare(each.text)) for each in prompts[1:]]
        if away and zeros and not bare(prompts[1].text).strip():
            # SDXL was trained with zeros, not with the encoding of nothing
            away = [tuple((end, nought(each)) for end, each in away[0])]
        return _padded(Guidance(tuple(_evened(towards)), *away), way if settings["pad_prompts"] else None)


def nought(like: Conditioning) -> Conditioning:
    """A conditioning of zeros, in the shape of another."""
    return Conditioning(torch.zeros_like(like.states), None if like.pooled is None else torch.zeros_like(like.pooled))


def _of_comfyui(encoders: Sequence[Encoder], prompt: ParsedPrompt, first: str, sizes: str, skip: int) -> Timeline:
    """A prompt, which SDXL's first text encoder may have another text for."""
    texts = [prompt] * len(encoders)
    if first and len(encoders) > 1:
        texts[0] = ParsedPrompt(first, ((first, 1.0),), ())
    chunked = [cut_as_comfyui(*each) for each in zip(texts, encoders, strict=True)]
    found = _encode_one(encoders, chunked, max(map(len, chunked)), skip, weigh_from_nothing)
    return ((0, replace(found, sizes=sizes_of(sizes) if sizes else ())),)


@dataclass(frozen=True, slots=True)
class _Way:
    """How A1111 reads a prompt."""

    encoders: Sequence[Encoder]
    settings: Settings
    skip: int
    times: int

    @classmethod
    def of(cls, encoders: Sequence[Encoder], settings: Settings, skip: int) -> _Way:
        return cls(encoders, settings, skip, settings["steps"] * (2 if asks_twice(settings["sampler"]) else 1))

    def timeline(self, text: str) -> Timeline:
        """A prompt's texts, encoded together: one that is shorter ends in empty chunks."""
        texts = timeline(text, self.times, old=bool(self.settings["old_editing"]))
        chunked = {each: [cut(self._parsed(each), encoder) for encoder in self.encoders] for _, each in texts}
        most = max(len(chunks) for each in chunked.values() for chunks in each)
        found = _encode_together(self.encoders, list(chunked.values()), most, self.skip, self._weigh(texts, chunked))
        known = dict(zip(chunked, found, strict=True))
        return tuple((end, known[each]) for end, each in texts)

    def empty(self) -> torch.Tensor:
        """An empty chunk's states."""
        return _encode_one(self.encoders, [[Chunk()] for _ in self.encoders], 1, self.skip, scale).states

    def _parsed(self, text: str) -> ParsedPrompt:
        return ParsedPrompt(text, ((text, 1.0),), ()) if self.settings["emphasis"] == "None" else parse_prompt(text)

    def _weigh(self, texts: Sequence[tuple[int, str]], known: Iterable[str]) -> Weigh:
        emphasis = self.settings["emphasis"]
        if emphasis == "No norm":
            return scale
        if emphasis in ("Ignore", "None"):
            return lambda states, _weights, _nothing: states
        counts = Counter(text for _, text in texts)
        often = [counts[text] for text in known]

        def weigh(
            states: torch.Tensor, weights: Sequence[Sequence[float]], _nothing: Callable[[], torch.Tensor]
        ) -> torch.Tensor:
            if len(often) == 1 or all(weight == 1.0 for each in weights for weight in each):
                return emphasise(states, weights)
            exact = states.float()
            scaled = exact * torch.tensor(weights, device=states.device)[:, :, None]
            # each text counts as often as it has a time of its own
            means = [sum(each.mean() * n for each, n in zip(of, often, strict=True)) for of in (exact, scaled)]
            return (scaled * (means[0] / means[1])).to(states.dtype)

        return weigh


def _evened(towards: Sequence[tuple[float, Timeline]]) -> Iterator[tuple[float, Timeline]]:
    """Composed prompts as long as the longest: the last state of a shorter one is repeated."""
    longest = max(each.states.shape[1] for _, timeline in towards for _, each in timeline)
    for weight, each in towards:
        yield weight, tuple((end, _longer(own, longest, own.states[:, -1:])) for end, own in each)


def _longer(conditioning: Conditioning, length: int, by: torch.Tensor) -> Conditioning:
    missing = length - conditioning.states.shape[1]
    if missing <= 0:
        return conditioning
    states = torch.cat([conditioning.states, by.repeat(1, missing // by.shape[1], 1)], dim=1)
    return replace(conditioning, states=states)


def _padded(guidance: Guidance, way: _Way | None) -> Guidance:
    """Both prompts of one length, the shorter one with empty chunks at its end."""
    if way is None or not guidance.away:
        return guidance
    both = [guidance.away, *(each for _, each in guidance.towards)]
    longest, empty = max(each.states.shape[1] for timeline in both for _, each in timeline), way.empty()
    away, *towards = (tuple((end, _longer(each, longest, empty)) for end, each in timeline) for timeline in both)
    return Guidance(tuple((weight, each) for (weight, _), each in zip(guidance.towards, towards, strict=True)), away)
