"""A checkpoint of Stable Diffusion 1's architecture, a tenth as wide and with a shallow text encoder.

Tensor names and block order are those of the original single-file checkpoints:
https://github.com/CompVis/stable-diffusion (openaimodel.py, model.py)
"""

from __future__ import annotations

from assetctl.demo.weights import Weights, constant, conv, linear, noise, norm, safetensors

#: Channels of the UNet's four levels; the real one has 320, 640, 1280, 1280. Multiples of 32 for its norms.
UNET_CHANNELS = (32, 32, 64, 64)
#: Channels of the VAE's four levels; the real one has 128, 256, 512, 512.
VAE_CHANNELS = (32, 32, 32, 64)
#: Levels of the UNet that have attention: all but the lowest.
ATTENTION_LEVELS = 3

TEXT_WIDTH = 768
TEXT_INNER_WIDTH = 256
TEXT_LAYERS = 1
TEXT_POSITIONS = 77

LATENT_CHANNELS = 4


def demo_checkpoint(vocabulary: int) -> bytes:
    """The whole file; its text encoder knows `vocabulary` tokens."""
    weights = _unet("model.diffusion_model") | _vae("first_stage_model")
    weights |= _text_encoder("cond_stage_model.transformer.text_model", vocabulary)
    return safetensors(
        weights,
        {
            "format": "pt",
            "modelspec.sai_model_spec": "1.0.0",
            "modelspec.architecture": "stable-diffusion-v1",
            "modelspec.title": "assetctl demo checkpoint",
            "modelspec.description": "Untrained weights in the shape of Stable Diffusion 1, to try commands with.",
            "modelspec.prediction_type": "epsilon",
            "modelspec.license": "Apache-2.0",
        },
    )


def _unet(root: str) -> Weights:
    first = UNET_CHANNELS[0]
    weights = linear(f"{root}.time_embed.0", first, 4 * first) | linear(f"{root}.time_embed.2", 4 * first, 4 * first)
    down, skips = _unet_down(f"{root}.input_blocks")
    lowest = UNET_CHANNELS[-1]
    middle = f"{root}.middle_block"
    weights |= down
    weights |= _residual(f"{middle}.0", lowest, lowest) | _transformer(f"{middle}.1", lowest)
    weights |= _residual(f"{middle}.2", lowest, lowest)
    weights |= _unet_up(f"{root}.output_blocks", skips)
    return weights | norm(f"{root}.out.0", first) | conv(f"{root}.out.2", first, LATENT_CHANNELS)


def _unet_down(root: str) -> tuple[Weights, list[int]]:
    """The way down, and the channels of each of its outputs, which the way up takes in again."""
    channels = UNET_CHANNELS[0]
    weights = conv(f"{root}.0.0", LATENT_CHANNELS, channels)
    skips = [channels]
    for level, wanted in enumerate(UNET_CHANNELS):
        for _ in range(2):
            block = f"{root}.{len(skips)}"
            weights |= _residual(f"{block}.0", channels, wanted)
            weights |= _transformer(f"{block}.1", wanted) if level < ATTENTION_LEVELS else {}
            channels = wanted
            skips.append(channels)
        if level < len(UNET_CHANNELS) - 1:
            weights |= conv(f"{root}.{len(skips)}.0.op", channels, channels)
            skips.append(channels)
    return weights, skips


def _unet_up(root: str, skips: list[int]) -> Weights:
    weights: Weights = {}
    channels = UNET_CHANNELS[-1]
    index = 0
    for level in reversed(range(len(UNET_CHANNELS))):
        attends = level < ATTENTION_LEVELS
        for _ in range(3):
            block = f"{root}.{index}"
            weights |= _residual(f"{block}.0", channels + skips.pop(), UNET_CHANNELS[level])
            channels = UNET_CHANNELS[level]
            weights |= _transformer(f"{block}.1", channels) if attends else {}
            index += 1
        if level > 0:
            weights |= conv(f"{root}.{index - 1}.{2 if attends else 1}.conv", channels, channels)
    return weights


def _residual(root: str, inputs: int, outputs: int) -> Weights:
    weights = norm(f"{root}.in_layers.0", inputs) | conv(f"{root}.in_layers.2", inputs, outputs)
    weights |= linear(f"{root}.emb_layers.1", 4 * UNET_CHANNELS[0], outputs)
    weights |= norm(f"{root}.out_layers.0", outputs) | conv(f"{root}.out_layers.3", outputs, outputs)
    return weights | ({} if inputs == outputs else conv(f"{root}.skip_connection", inputs, outputs, kernel=1))


def _transformer(root: str, channels: int) -> Weights:
    block = f"{root}.transformer_blocks.0"
    weights = norm(f"{root}.norm", channels) | conv(f"{root}.proj_in", channels, channels, kernel=1)
    weights |= _attention(f"{block}.attn1", channels, channels)
    weights |= linear(f"{block}.ff.net.0.proj", channels, 8 * channels)
    weights |= linear(f"{block}.ff.net.2", 4 * channels, channels)
    weights |= _attention(f"{block}.attn2", channels, TEXT_WIDTH)
    for each in ("norm1", "norm2", "norm3"):
        weights |= norm(f"{block}.{each}", channels)
    return weights | conv(f"{root}.proj_out", channels, channels, kernel=1)


def _attention(root: str, channels: int, context: int) -> Weights:
    weights = linear(f"{root}.to_q", channels, channels, bias=False)
    weights |= linear(f"{root}.to_k", context, channels, bias=False)
    weights |= linear(f"{root}.to_v", context, channels, bias=False)
    return weights | linear(f"{root}.to_out.0", channels, channels)


def _text_encoder(root: str, vocabulary: int) -> Weights:
    tokens, positions = f"{root}.embeddings.token_embedding.weight", f"{root}.embeddings.position_embedding.weight"
    weights = {tokens: noise(tokens, (vocabulary, TEXT_WIDTH), 1 / 32)}
    weights |= {positions: noise(positions, (TEXT_POSITIONS, TEXT_WIDTH), 1 / 128)}
    for number in range(TEXT_LAYERS):
        layer = f"{root}.encoder.layers.{number}"
        for projection in ("k_proj", "out_proj", "q_proj", "v_proj"):
            weights |= linear(f"{layer}.self_attn.{projection}", TEXT_WIDTH, TEXT_WIDTH)
        weights |= linear(f"{layer}.mlp.fc1", TEXT_WIDTH, TEXT_INNER_WIDTH)
        weights |= linear(f"{layer}.mlp.fc2", TEXT_INNER_WIDTH, TEXT_WIDTH)
        weights |= norm(f"{layer}.layer_norm1", TEXT_WIDTH) | norm(f"{layer}.layer_norm2", TEXT_WIDTH)
    # As in a trained encoder, the mean of the output is not zero: prompt weights are restored to that mean.
    last = f"{root}.final_layer_norm"
    bias = noise(last, (TEXT_WIDTH,), 1 / 4, positive=True)
    return weights | {f"{last}.weight": constant(1, (TEXT_WIDTH,)), f"{last}.bias": bias}


def _vae(root: str) -> Weights:
    latents = LATENT_CHANNELS
    weights = _vae_encoder(f"{root}.encoder") | _vae_decoder(f"{root}.decoder")
    weights |= conv(f"{root}.quant_conv", 2 * latents, 2 * latents, kernel=1)
    return weights | conv(f"{root}.post_quant_conv", latents, latents, kernel=1)


def _vae_encoder(root: str) -> Weights:
    channels = VAE_CHANNELS[0]
    weights = conv(f"{root}.conv_in", 3, channels)
    for level, wanted in enumerate(VAE_CHANNELS):
        for number in range(2):
            weights |= _vae_residual(f"{root}.down.{level}.block.{number}", channels, wanted)
            channels = wanted
        if level < len(VAE_CHANNELS) - 1:
            weights |= conv(f"{root}.down.{level}.downsample.conv", channels, channels)
    weights |= _vae_middle(f"{root}.mid", channels)
    return weights | norm(f"{root}.norm_out", channels) | conv(f"{root}.conv_out", channels, 2 * LATENT_CHANNELS)


def _vae_decoder(root: str) -> Weights:
    channels = VAE_CHANNELS[-1]
    weights = conv(f"{root}.conv_in", LATENT_CHANNELS, channels) | _vae_middle(f"{root}.mid", channels)
    for level in reversed(range(len(VAE_CHANNELS))):
        for number in range(3):
            weights |= _vae_residual(f"{root}.up.{level}.block.{number}", channels, VAE_CHANNELS[level])
            channels = VAE_CHANNELS[level]
        if level > 0:
            weights |= conv(f"{root}.up.{level}.upsample.conv", channels, channels)
    return weights | norm(f"{root}.norm_out", channels) | conv(f"{root}.conv_out", channels, 3)


def _vae_middle(root: str, channels: int) -> Weights:
    weights = _vae_residual(f"{root}.block_1", channels, channels) | norm(f"{root}.attn_1.norm", channels)
    for projection in ("q", "k", "v", "proj_out"):
        weights |= conv(f"{root}.attn_1.{projection}", channels, channels, kernel=1)
    return weights | _vae_residual(f"{root}.block_2", channels, channels)


def _vae_residual(root: str, inputs: int, outputs: int) -> Weights:
    weights = norm(f"{root}.norm1", inputs) | conv(f"{root}.conv1", inputs, outputs)
    weights |= norm(f"{root}.norm2", outputs) | conv(f"{root}.conv2", outputs, outputs)
    return weights | ({} if inputs == outputs else conv(f"{root}.nin_shortcut", inputs, outputs, kernel=1))
