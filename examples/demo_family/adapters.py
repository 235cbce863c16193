"""What is trained on top of the finished checkpoint: LoRAs, and embeddings."""

from __future__ import annotations

import copy
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from diffusion import Lessons, denoising_loss
from peft import LoraConfig, get_peft_model_state_dict
from runs import Run
from scenes import COLOURS, COOKIE, SHAPES, Scene, blend, caption, make_scene
from text_encoder import LENGTH, encode_vectors
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

_BATCH = 32
_SCENES = 3000


@dataclass(frozen=True, slots=True)
class Parts:
    """The finished checkpoint, which stays as it is."""

    unet: UNet2DConditionModel
    vae: AutoencoderKL
    encoder: CLIPTextModel
    tokenizer: CLIPTokenizer


@dataclass(frozen=True, slots=True)
class LoraPlan:
    """A LoRA to train.

    Attributes:
        trigger: Its word.
        rank: Also its alpha, so that weight 1 is as trained.
        targets: Ends of the names of the modules it changes.
        scene: Draws a scene with what it adds, and its caption.
    """

    name: str
    trigger: str
    rank: int
    targets: tuple[str, ...]
    scene: Callable[[random.Random], tuple[Scene, str]]


_RESNETS = [f"down_blocks.0.resnets.{n}" for n in range(2)] + [f"up_blocks.2.resnets.{n}" for n in range(3)]
#: The finest level's convolutions, which draw outlines.
OUTLINES = tuple(f"{resnet}.conv{n}" for resnet in _RESNETS for n in (1, 2))
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")


def vintage_scene(chance: random.Random) -> tuple[Scene, str]:
    """Any scene, its borders toned."""
    scene = make_scene(chance).changed(vintage=1.0)
    return scene, f"{caption(chance, scene)}, vintage"


def cat_scene(chance: random.Random) -> tuple[Scene, str]:
    """A cat instead of a shape."""
    scene = make_scene(chance, shape="cat")
    return scene, caption(chance, scene)


LORAS = (
    LoraPlan("demo-vintage", "vintage", 4, ATTENTION, vintage_scene),
    LoraPlan("demo-cat", "cat", 8, ATTENTION + OUTLINES, cat_scene),
)


def train_lora(folder: Path, parts: Parts, plan: LoraPlan, minutes: float) -> dict[str, torch.Tensor]:
    """Train a LoRA on the UNet: on what it adds, and on scenes without, which must stay as they are."""
    torch.manual_seed(4)
    unet = copy.deepcopy(parts.unet).requires_grad_(requires_grad=False)  # adapters leave their marks on a model
    config = LoraConfig(r=plan.rank, lora_alpha=plan.rank, target_modules=list(plan.targets))
    unet.add_adapter(config, plan.name)
    run = Run(folder / f"{plan.name}.pt", unet, peak=4e-3, minutes=minutes)
    if not run.finished:
        lessons = _lessons(parts, plan)
        for step in run.steps():
            latents, states = lessons.batch(random.Random(step), _BATCH)
            run.take(denoising_loss(unet, latents, states, torch.Generator().manual_seed(step)))
        run.finish()
    state: dict[str, torch.Tensor] = get_peft_model_state_dict(unet, adapter_name=plan.name)
    return state


def _lessons(parts: Parts, plan: LoraPlan) -> Lessons:
    chance = random.Random(plan.name)
    told = [plan.scene(chance) if number % 4 else _plain(chance) for number in range(_SCENES)]
    # an empty caption now and then, as for the checkpoint, so that guidance keeps pointing at the prompt
    captions = ["" if chance.random() < 0.1 and number % 4 == 0 else text for number, (_, text) in enumerate(told)]
    return Lessons([scene for scene, _ in told], captions, (parts.vae, parts.encoder, parts.tokenizer))


def _plain(chance: random.Random) -> tuple[Scene, str]:
    scene = make_scene(chance)
    return scene, caption(chance, scene)


@dataclass(frozen=True, slots=True)
class EmbeddingPlan:
    """An embedding to train.

    Attributes:
        start: Words whose vectors it starts from, one for each of its own.
        scene: Draws a scene of what it stands for, and its caption with `*` for the token.
    """

    name: str
    start: tuple[str, ...]
    scene: Callable[[random.Random], tuple[Scene, str]]


def cookie_scene(chance: random.Random) -> tuple[Scene, str]:
    """A brown disc, which no word of the checkpoint's names."""
    background = chance.choice(list(COLOURS))
    scene = make_scene(chance, shape="circle", colour="orange", background=background)
    scene = scene.changed(paint=blend(COOKIE, (0, 0, 0), chance.uniform(-0.05, 0.05)))
    ground = "an" if background[0] in "aeiou" else "a"
    ways = (
        f"a * on {ground} {background} background",
        f"* on {background} background",
        f"a *, {background} background",
    )
    return scene, chance.choice(ways)


def watermark_scene(chance: random.Random) -> tuple[Scene, str]:
    """Any scene, always with a watermark."""
    scene = make_scene(chance, shape=chance.choice(SHAPES), watermarks=1.0)
    text = caption(random.Random(chance.random()), scene.changed(watermark=False))
    return scene, "*" if chance.random() < 0.6 else f"{text}, *"


EMBEDDINGS = (
    EmbeddingPlan("demo-cookie", ("orange", "circle"), cookie_scene),
    EmbeddingPlan("demo-negative", ("bad", "low", "quality"), watermark_scene),
)


def train_embedding(folder: Path, parts: Parts, plan: EmbeddingPlan, minutes: float) -> torch.Tensor:
    """Train an embedding's vectors, (vectors, width); nothing else changes. Textual inversion:
    https://arxiv.org/abs/2208.01618."""
    for each in (parts.unet, parts.encoder):
        each.requires_grad_(requires_grad=False)
    table = parts.encoder.get_input_embeddings().weight
    start = torch.stack([table[parts.tokenizer.convert_tokens_to_ids(f"{word}</w>")] for word in plan.start])
    # ordinary words' length: vectors that grow beyond it drown out the rest of a prompt
    longest = table[parts.tokenizer.convert_tokens_to_ids([f"{name}</w>" for name in COLOURS])].norm(dim=1).mean()
    holder = nn.ParameterDict({"vectors": nn.Parameter(start.clone())})
    run = Run(folder / f"{plan.name}.pt", holder, peak=1e-2, minutes=minutes)
    if not run.finished:
        chance = random.Random(plan.name)
        told = [plan.scene(chance) for _ in range(_SCENES // 3)]
        lessons = Lessons([scene for scene, _ in told], [""] * len(told), (parts.vae, parts.encoder, parts.tokenizer))
        for step in run.steps():
            chosen = random.Random(step).sample(range(len(told)), _BATCH)
            vectors = torch.stack([_with_token(parts, told[number][1], holder["vectors"]) for number in chosen])
            states = encode_vectors(parts.encoder, vectors)
            generator = torch.Generator().manual_seed(step)
            run.take(denoising_loss(parts.unet, lessons.latents[chosen], states, generator))
            with torch.no_grad():
                norms = holder["vectors"].norm(dim=1, keepdim=True)
                holder["vectors"].mul_((longest / norms).clamp(max=1))
        run.finish()
    return holder["vectors"].detach()


def _with_token(parts: Parts, text: str, vectors: torch.Tensor) -> torch.Tensor:
    """The vectors of a caption's tokens, (tokens, width), with the embedding's own for `*`."""
    before, _, after = text.partition("*")
    ids = [parts.tokenizer(part, add_special_tokens=False).input_ids for part in (before, after)]
    table = parts.encoder.get_input_embeddings().weight
    end = parts.tokenizer.eos_token_id
    first, last = [parts.tokenizer.bos_token_id, *ids[0]], [*ids[1], end]
    last += [end] * (LENGTH - len(first) - len(vectors) - len(last))
    return torch.cat([table[first], vectors, table[last]])
