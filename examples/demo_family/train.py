"""Train the demo family from nothing: `python examples/demo_family/train.py WORK_FOLDER`.

Takes just under an hour on two cores and no network. It can be stopped at any moment: the same command goes on.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from adapters import EMBEDDINGS, LORAS, Parts, train_embedding, train_lora
from autoencoder import quality, train_autoencoder
from diffusion import train_unet
from family import write_family
from text_encoder import train_text_encoder
from transformers import CLIPTokenizer
from vocabulary import make_vocabulary

#: Minutes for each part; with drawing and encoding the scenes, just under an hour in all.
MINUTES = {
    "vae": 9.0, "text": 2.0, "unet": 30.0,
    "demo-cookie": 2.0, "demo-negative": 2.0, "demo-vintage": 3.0, "demo-cat": 6.0,
}  # fmt: skip


def main() -> None:
    """Train every part that is not there yet, and write the files."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("work", type=Path, help="Where what was reached is kept.")
    options.add_argument("--out", type=Path, help="Where the files go; WORK/family unless given.")
    options.add_argument("--hurry", type=float, default=1.0, help="Divides all times, to try the recipe out.")
    given = options.parse_args()
    torch.set_num_threads(2)
    given.work.mkdir(parents=True, exist_ok=True)
    minutes = {part: time / given.hurry for part, time in MINUTES.items()}

    tokenizer = load_tokenizer(given.work)
    vae = train_autoencoder(given.work, minutes["vae"])
    print(f"vae: {quality(vae):.1f} dB on scenes it has not seen", flush=True)
    encoder = train_text_encoder(given.work, tokenizer, minutes["text"])
    unet = train_unet(given.work, vae, encoder, tokenizer, minutes["unet"])
    parts = Parts(unet, vae, encoder, tokenizer)
    embeddings = {plan: train_embedding(given.work, parts, plan, minutes[plan.name]) for plan in EMBEDDINGS}
    loras = {plan: train_lora(given.work, parts, plan, minutes[plan.name]) for plan in LORAS}
    write_family(given.out or given.work / "family", parts, loras, embeddings)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer, made anew each time: the same word list gives the same vocabulary."""
    place = folder / "tokenizer"
    place.mkdir(exist_ok=True)
    for name, content in make_vocabulary().files().items():
        (place / name).write_bytes(content)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(place)
    return tokenizer


if __name__ == "__main__":
    main()
