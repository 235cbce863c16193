"""Prompts become what a UNet is conditioned on, textual inversions among CLIP's own vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from assetctl.errors import UnusableError
from assetctl.files.safetensors import FLOATS, NUMBERS, read_header
from assetctl.prompt import without_tags
from assetctl.prompt.chunks import Chunk, Token, cut_prompt
from assetctl.prompt.comfyui import cut_comfyui
from assetctl.samplers import LEGACY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from diffusers import DiffusionPipeline
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from assetctl.plan import PlannedUse
    from assetctl.prompt import ParsedPrompt

    Run = Callable[[Chunk], tuple[torch.Tensor, torch.Tensor | None]]
    Weigh = Callable[[torch.Tensor, Sequence[float], Callable[[], torch.Tensor]], torch.Tensor]

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
    """What the UNet is told: `states` is (1, tokens, width); `pooled` is (1, width) for SDXL."""

    states: torch.Tensor
    pooled: torch.Tensor | None = None


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
    states, pooled = [], None
    for encoder, chunks in zip(encoders, chunked, strict=True):
        padded = chunks + [Chunk() for _ in range(most - len(chunks))]

        def run(chunk: Chunk, encoder: Encoder = encoder) -> tuple[torch.Tensor, torch.Tensor | None]:
            return _encode_chunk(encoder, chunk, skip, penultimate=len(encoders) > 1)

        encoded = [_weighed(chunk, encoder, run, weigh) for chunk in padded]
        states.append(torch.cat([each for each, _ in encoded], dim=1))
        pooled = encoded[0][1]
    # SDXL's two encoders stand side by side, and the second one's pooled output counts
    return Conditioning(torch.cat(states, dim=-1), pooled)


def _weighed(chunk: Chunk, encoder: Encoder, run: Run, weigh: Weigh) -> tuple[torch.Tensor, torch.Tensor | None]:
    """A chunk's states, weighed, and its pooled output."""
    states, pooled = run(chunk)
    padding = encoder.length - 2 - chunk.count
    weights = [1.0, *chunk.weights, *[1.0] * (padding + 1)]
    return weigh(states, weights, lambda: run(Chunk())[0]), pooled


def _encode_chunk(
    encoder: Encoder, chunk: Chunk, skip: int, *, penultimate: bool
) -> tuple[torch.Tensor, torch.Tensor | None]:
    tokenizer, model = encoder.tokenizer, encoder.model
    padding = encoder.length - 2 - len(chunk.ids)
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id] + [tokenizer.pad_token_id] * padding
    batch = torch.tensor([ids], device=model.device)
    output = model(batch, output_hidden_states=True) if penultimate or skip > 1 else model(batch)
    states = output.hidden_states[-2] if penultimate else _read_layer(model, output, skip)
    return states, output[0] if penultimate else None


def _read_layer(model: PreTrainedModel, output: Any, skip: int) -> torch.Tensor:  # noqa: ANN401 - transformers' own type
    """What the encoder's last layer says, or the one that is `skip` from the end, normed as the last one is."""
    states: torch.Tensor = output[0]
    if skip > 1:
        layer = output.hidden_states[max(-skip, 1 - len(output.hidden_states))]
        states = getattr(model, "text_model", model).final_layer_norm(layer)
    return states


def emphasise(
    states: torch.Tensor, weights: Sequence[float], _nothing: Callable[[], torch.Tensor] | None = None
) -> torch.Tensor:
    """Scale each token's state by its weight, then the whole chunk back to the mean that it had.

    Args:
        states: (1, tokens, width).
        weights: One per token.
    """
    if all(weight == 1.0 for weight in weights):
        return states
    exact = states.float()
    scaled = exact * torch.tensor(weights, device=states.device)[:, None]
    return (scaled * (exact.mean() / scaled.mean())).to(states.dtype)


def weigh_from_nothing(
    states: torch.Tensor, weights: Sequence[float], nothing: Callable[[], torch.Tensor]
) -> torch.Tensor:
    """Go from the state that an empty prompt has in a token's place to the token's, times its weight (ComfyUI).

    Args:
        states: (1, tokens, width).
        weights: One per token.
        nothing: Encodes an empty prompt.
    """
    if all(weight == 1.0 for weight in weights):
        return states
    empty = nothing().float()
    many = torch.tensor(weights, device=states.device)[:, None]
    weighed = (states.float() - empty) * many + empty
    return torch.where(many == 1.0, states, weighed.to(states.dtype))


def cut(prompt: ParsedPrompt, encoder: Encoder) -> list[Chunk]:
    """Tokenise a prompt and cut it into chunks. There is always at least one."""
    comma = encoder.tokenizer.convert_tokens_to_ids(",</w>")
    return cut_prompt(prompt, encoder.tokenize, comma, encoder.embeddings, encoder.length - 2)


def cut_as_comfyui(prompt: ParsedPrompt, encoder: Encoder) -> list[Chunk]:
    """The same, as ComfyUI reads it."""
    return cut_comfyui(without_tags(prompt.text), encoder.tokenize, encoder.embeddings, encoder.length - 2)
