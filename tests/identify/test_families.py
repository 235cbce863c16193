"""Look-alikes: small headers in each layout's spelling, with the widths and names that tell families apart."""

from __future__ import annotations

import pytest
from headers import lora, write_safetensors

from assetctl.identify import identify

ATTN = "transformer_blocks.0.attn2.to_k"
TIME = {"time_embed.0.weight": [1280, 320]}


def kohya(name):
    return "lora_unet_" + name.replace(".", "_")


def unet(context, channels=4, prefix="model.diffusion_model.", level="input_blocks.4.1.", width=640):
    return {
        f"{prefix}input_blocks.0.0.weight": [320, channels, 3, 3],
        f"{prefix}time_embed.0.weight": [1280, 320],
        f"{prefix}{level}{ATTN}.weight": [width, context],
    }


VAE = {
    "decoder.conv_in.weight": [512, 4, 3, 3],
    "decoder.mid.block_1.conv1.weight": [512, 512, 3, 3],
    "encoder.conv_in.weight": [128, 3, 3, 3],
}
FIRST_STAGE = {f"first_stage_model.{name}": shape for name, shape in VAE.items()}
TEXT = {"cond_stage_model.transformer.text_model.encoder.layers.0.mlp.fc1.weight": [3072, 768]}


def flux_block(prefix="", width=3072, ratio=4, block=0):
    stem = f"{prefix}double_blocks.{block}."
    return {
        f"{stem}img_attn.qkv": (width, 3 * width),
        f"{stem}img_mlp.0": (width, ratio * width),
        f"{prefix}single_blocks.{block}.linear1": (width, (3 + ratio) * width),
    }


POOLED = {"vector_in.in_layer": (768, 3072)}


def whole(modules):
    return {f"{name}.weight": [given, taken] for name, (taken, given) in modules.items()}


CASES = {
    # Stable Diffusion, whole
    "sd1 whole": ({**unet(768), **FIRST_STAGE, **TEXT}, "checkpoint", "sd1"),
    "sd2 whole": ({**unet(1024), **FIRST_STAGE}, "checkpoint", "sd2"),
    "sdxl whole": ({**unet(2048), "conditioner.embedders.0.transformer.x": [768]}, "checkpoint", "sdxl"),
    "refiner whole": (
        {**unet(1280, width=768), "conditioner.embedders.0.model.ln_final.bias": [1280]},
        "checkpoint",
        "sdxl-refiner",
    ),
    "sd1 unet": (unet(768), "diffusion-model", "sd1"),
    "sdxl unet, diffusers": (
        {
            "conv_in.weight": [320, 4, 3, 3],
            "time_embedding.linear_1.weight": [1280, 320],
            f"down_blocks.1.attentions.0.{ATTN}.weight": [640, 2048],
        },
        "diffusion-model",
        "sdxl",
    ),
    "kolors is not sdxl": (
        {
            "conv_in.weight": [320, 4, 3, 3],
            "time_embedding.linear_1.weight": [1280, 320],
            "encoder_hid_proj.weight": [2048, 4096],
            f"down_blocks.1.attentions.0.{ATTN}.weight": [640, 2048],
        },
        "diffusion-model",
        "kolors",
    ),
    "stable video is not sd2": (
        {**unet(1024, 8), "model.diffusion_model.input_blocks.1.1.time_stack.0.attn2.to_k.weight": [320, 1024]},
        "diffusion-model",
        "svd",
    ),
    "sd3 transformer": (
        {"joint_blocks.0.x_block.attn.qkv.weight": [4608, 1536], "t_embedder.mlp.0.weight": [1536, 256]},
        "diffusion-model",
        "sd3",
    ),
    "flux1 transformer": (
        {
            **whole({**flux_block(block=18), "double_blocks.0.img_mod.lin": (3072, 18432)}),
            "time_in.in_layer.weight": [3072, 256],
            "vector_in.in_layer.weight": [3072, 768],
        },
        "diffusion-model",
        "flux1",
    ),
    "flux1 checkpoint": (
        {
            **{
                f"model.diffusion_model.{k}": v
                for k, v in whole({**flux_block(), "double_blocks.0.img_mod.lin": (3072, 18432), **POOLED}).items()
            },
            "vae.decoder.conv_in.weight": [512, 16, 3, 3],
            "text_encoders.t5xxl.transformer.shared.weight": [9, 4096],
        },
        "checkpoint",
        "flux1",
    ),
    "chroma is not flux1": (
        {**whole(flux_block()), "distilled_guidance_layer.in_proj.weight": [5120, 64]},
        "diffusion-model",
        "chroma",
    ),
    "flux2 transformer": (
        {
            **whole(flux_block(width=6144, ratio=6)),
            "double_stream_modulation_img.lin.weight": [36864, 6144],
            "time_in.in_layer.weight": [6144, 256],
        },
        "diffusion-model",
        "flux2",
    ),
    "hunyuan video is not flux1": (
        {
            **whole({"double_blocks.19.img_attn_qkv": (3072, 9216), "double_blocks.0.img_mlp.fc1": (3072, 12288)}),
            "time_in.mlp.0.weight": [3072, 256],
        },
        "diffusion-model",
        "hunyuan-video",
    ),
    # LoRAs of UNets
    "sd1 kohya": (lora({kohya(f"down_blocks.0.attentions.0.{ATTN}"): (768, 320)}), "lora", "sd1"),
    "sd2 kohya": (lora({kohya(f"down_blocks.0.attentions.0.{ATTN}"): (1024, 320)}), "lora", "sd2"),
    "sdxl kohya": (lora({kohya(f"input_blocks.4.1.{ATTN}"): (2048, 640)}), "lora", "sdxl"),
    "sdxl peft": (
        lora({f"base_model.model.unet.down_blocks.1.attentions.0.{ATTN}": (2048, 640)}, down="lora_A", up="lora_B"),
        "lora",
        "sdxl",
    ),
    "sdxl diffusers": (
        lora({f"unet.down_blocks.1.attentions.0.{ATTN}": (2048, 640)}, down="lora_A", up="lora_B"),
        "lora",
        "sdxl",
    ),
    "sd1 attention processors": (
        {
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.down.weight": [4, 768],
            "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn2.processor.to_k_lora.up.weight": [320, 4],
        },
        "lora",
        "sd1",
    ),
    "sd1 loha": (
        {
            f"{kohya(f'down_blocks.0.attentions.0.{ATTN}')}.hada_w{n}": s
            for n, s in (("1_a", [320, 8]), ("1_b", [8, 768]), ("2_a", [320, 8]), ("2_b", [8, 768]))
        },
        "lora",
        "sd1",
    ),
    "sdxl lokr": (
        {
            f"{kohya(f'input_blocks.4.1.{ATTN}')}.lokr_w1": [8, 8],
            f"{kohya(f'input_blocks.4.1.{ATTN}')}.lokr_w2_a": [80, 4],
            f"{kohya(f'input_blocks.4.1.{ATTN}')}.lokr_w2_b": [4, 256],
        },
        "lora",
        "sdxl",
    ),
    "sd1 difference": ({f"{kohya(f'down_blocks.0.attentions.0.{ATTN}')}.diff": [320, 768]}, "lora", "sd1"),
    "sd1 text encoder": (lora({"lora_te_text_model_encoder_layers_0_self_attn_q_proj": (768, 768)}), "lora", "sd1"),
    "sd2 text encoder": (lora({"lora_te_text_model_encoder_layers_0_mlp_fc1": (1024, 4096)}), "lora", "sd2"),
    "sdxl text encoders": (
        lora(
            {
                "lora_te1_text_model_encoder_layers_0_mlp_fc1": (768, 3072),
                "lora_te2_text_model_encoder_layers_0_mlp_fc1": (1280, 5120),
            }
        ),
        "lora",
        "sdxl",
    ),
    "sdxl self-attention": (
        lora({kohya("input_blocks.7.1.transformer_blocks.9.attn1.to_k"): (1280, 1280)}),
        "lora",
        "sdxl",
    ),
    "sd1 self-attention": (
        {
            **lora({kohya("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k"): (320, 320)}),
            kohya("down_blocks.0.attentions.0.proj_in") + ".lora_down.weight": [4, 320, 1, 1],
        },
        "lora",
        "sd1",
    ),
    # LoRAs of transformers
    "flux1 kohya": (lora({kohya(k): v for k, v in flux_block(block=12).items()}), "lora", "flux1"),
    "flux1 by its authors' names": (
        lora(
            flux_block("diffusion_model.", block=12) | {"diffusion_model.double_blocks.12.img_mod.lin": (3072, 18432)},
            down="lora_A",
            up="lora_B",
        ),
        "lora",
        "flux1",
    ),
    "flux1 of one late block": (
        lora(flux_block("diffusion_model.", block=12), down="lora_A", up="lora_B"),
        "lora",
        "flux1",
    ),
    "flux1 diffusers": (
        lora(
            {
                "transformer.single_transformer_blocks.37.attn.to_q": (3072, 3072),
                "transformer.transformer_blocks.18.attn.to_q": (3072, 3072),
            }
        ),
        "lora",
        "flux1",
    ),
    "flux1, two single blocks": (
        lora({"transformer.single_transformer_blocks.7.proj_out": (15360, 3072)}, down="lora_A", up="lora_B"),
        "lora",
        "flux1",
    ),
    "flux2 4B is as wide as flux1": (
        lora(flux_block("diffusion_model.", ratio=6), down="lora_A", up="lora_B"),
        "lora",
        "flux2",
    ),
    "flux2 diffusers": (
        lora({"transformer.single_transformer_blocks.0.attn.to_qkv_mlp_proj": (3072, 27648)}),
        "lora",
        "flux2",
    ),
    "sd3 diffusers": (
        lora(
            {
                "transformer.transformer_blocks.0.attn.to_q": (1536, 1536),
                "transformer.transformer_blocks.0.attn.add_q_proj": (1536, 1536),
            }
        ),
        "lora",
        "sd3",
    ),
    "sd3.5 kohya": (lora({kohya("joint_blocks.0.x_block.attn.qkv"): (2432, 7296)}), "lora", "sd3"),
    "qwen-image": (lora({"transformer.transformer_blocks.59.img_mlp.net.2": (12288, 3072)}), "lora", "qwen-image"),
    "qwen-image kohya, attention": (
        lora({kohya("transformer_blocks.59.attn.to_q"): (3072, 3072)}),
        "lora",
        "qwen-image",
    ),
    "wan": (
        lora({"diffusion_model.blocks.0.cross_attn.k": (5120, 5120), "diffusion_model.blocks.0.ffn.0": (5120, 13824)}),
        "lora",
        "wan",
    ),
    "wan kohya": (lora({kohya("blocks.0.self_attn.q"): (1536, 1536)}), "lora", "wan"),
    "wan diffusers": (
        lora({"transformer.blocks.0.attn1.to_q": (5120, 5120), "transformer.blocks.0.ffn.net.2": (13824, 5120)}),
        "lora",
        "wan",
    ),
    "z-image": (lora({"diffusion_model.layers.0.attention.to_q": (3840, 3840)}), "lora", "z-image"),
    "z-image kohya": (lora({kohya("layers.0.attention.qkv"): (3840, 11520)}), "lora", "z-image"),
    "lumina is not z-image": (lora({"diffusion_model.layers.0.attention.qkv": (2304, 4608)}), "lora", "lumina2"),
    "krea2": (lora({"diffusion_model.blocks.0.attn.wq": (6144, 6144)}, down="lora_A", up="lora_B"), "lora", "krea2"),
    "krea2 diffusers": (
        lora({"transformer.transformer_blocks.0.attn.to_gate": (6144, 6144)}, down="lora_A", up="lora_B"),
        "lora",
        "krea2",
    ),
    "ltx is as wide as sdxl's text": (lora({f"transformer.{ATTN}": (2048, 2048)}), "lora", "ltx"),
    "pony v7 is auraflow": (lora({kohya("single_layers.0.attn.w1q"): (3072, 3072)}), "lora", "auraflow"),
    "anima": (lora({kohya("blocks.0.cross_attn.q_proj"): (2048, 2048)}), "lora", "cosmos"),
    # What steers
    "sd1 controlnet": (
        {**unet(768, prefix="control_model."), "control_model.zero_convs.0.0.weight": [320, 320, 1, 1]},
        "controlnet",
        "sd1",
    ),
    "controlnet with its checkpoint": (
        {**unet(768), **FIRST_STAGE, "control_model.zero_convs.0.0.weight": [320, 320, 1, 1]},
        "controlnet",
        "sd1",
    ),
    "small sdxl controlnet": (
        {
            "conv_in.weight": [320, 4, 3, 3],
            "add_embedding.linear_1.weight": [1280, 2816],
            "controlnet_cond_embedding.conv_in.weight": [16, 3, 3, 3],
            "down_blocks.0.resnets.0.conv1.weight": [320, 320, 3, 3],
        },
        "controlnet",
        "sdxl",
    ),
    "control-lora": (
        {
            "lora_controlnet": [0],
            "input_hint_block.0.weight": [16, 3, 3, 3],
            "input_blocks.4.1.transformer_blocks.1.attn1.to_k.down": [128, 640],
            "label_emb.0.0.weight": [1280, 2816],
        },
        "controlnet",
        "sdxl",
    ),
    "flux1 controlnet": (
        {
            "controlnet_blocks.0.weight": [3072, 3072],
            **whole(
                {
                    "transformer_blocks.0.attn.to_q": (3072, 3072),
                    "single_transformer_blocks.0.norm.linear": (3072, 9216),
                }
            ),
        },
        "controlnet",
        "flux1",
    ),
    "sd3 controlnet": (
        {"controlnet_blocks.0.weight": [1536, 1536], **whole({"transformer_blocks.0.attn.to_q": (1536, 1536)})},
        "controlnet",
        "sd3",
    ),
    "sd1 ip-adapter": (
        {"image_proj.proj.weight": [3072, 1024], "ip_adapter.1.to_k_ip.weight": [320, 768]},
        "ip-adapter",
        "sd1",
    ),
    "sdxl ip-adapter with a lora": (
        {
            "image_proj.proj.weight": [8192, 1280],
            "ip_adapter.1.to_k_ip.weight": [640, 2048],
            "ip_adapter.0.to_q_lora.down.weight": [128, 640],
        },
        "ip-adapter",
        "sdxl",
    ),
    "flux1 ip-adapter": (
        {"image_proj.proj.weight": [8192, 1152], "ip_adapter.0.to_k_ip.weight": [3072, 4096]},
        "ip-adapter",
        "flux1",
    ),
    # Embeddings
    "sd1 embedding": ({"emb_params": [8, 768]}, "embedding", "sd1"),
    "sd2 embedding": ({"emb_params": [8, 1024]}, "embedding", "sd2"),
    "sdxl embedding": ({"clip_l": [4, 768], "clip_g": [4, 1280]}, "embedding", "sdxl"),
    "flux1 embedding": ({"clip_l": [4, 768], "t5xxl": [4, 4096]}, "embedding", "flux1"),
    "one vector": ({"<cat-toy>": [768]}, "embedding", "sd1"),
    "half an embedding": ({"clip_l": [4, 768]}, "embedding", None),
    # VAEs: four channels of latents do not tell which Stable Diffusion they were trained with
    "vae": (VAE, "vae", None),
    "vae of sixteen channels": ({**VAE, "decoder.conv_in.weight": [512, 16, 3, 3]}, "vae", None),
    "flux2 vae": ({**VAE, "decoder.conv_in.weight": [512, 32, 3, 3], "bn.running_mean": [128]}, "vae", "flux2"),
    "wan or qwen vae": (
        {"decoder.conv1.weight": [384, 16, 3, 3, 3], "decoder.middle.0.residual.0.gamma": [384, 1, 1, 1]},
        "vae",
        None,
    ),
    # The rest
    "clip": ({"text_model.encoder.layers.0.mlp.fc1.weight": [3072, 768]}, "text-encoder", None),
    "t5": ({"encoder.block.0.layer.0.SelfAttention.q.weight": [4096, 4096]}, "text-encoder", None),
    "qwen": (
        {"model.layers.0.self_attn.q_proj.weight": [2048, 2048], "model.embed_tokens.weight": [9, 2048]},
        "text-encoder",
        None,
    ),
    "clip vision": ({"vision_model.encoder.layers.0.mlp.fc1.weight": [5120, 1280]}, "image-encoder", None),
    "esrgan": ({"model.1.sub.0.RDB1.conv1.0.weight": [32, 64, 3, 3]}, "upscaler", None),
    "something else": ({"fc.weight": [10, 10]}, "unknown", None),
    "nothing": ({}, "unknown", None),
}


@pytest.mark.parametrize("case", CASES)
def test_a_look_alike_is_told_by_its_names_and_widths(tmp_path, case):
    shapes, kind, family = CASES[case]
    found = identify(write_safetensors(tmp_path / "file.safetensors", shapes))
    assert (found.kind, found.family) == (kind, family), found.evidence
    assert found.evidence


@pytest.mark.parametrize(("channels", "variant"), [(4, None), (9, "inpainting"), (8, "pix2pix"), (5, "depth")])
def test_a_variant_shows_in_the_channels_of_the_input(tmp_path, channels, variant):
    shapes = {**unet(768, channels), **FIRST_STAGE, **TEXT}
    assert identify(write_safetensors(tmp_path / "a.safetensors", shapes)).variant == variant


def test_eight_channels_alone_do_not_tell_what_they_are_for(tmp_path):
    for shapes in (unet(768, 8), unet(1024, 8), {**unet(768, 8), **FIRST_STAGE, "cc_projection.weight": [768, 772]}):
        assert identify(write_safetensors(tmp_path / "a.safetensors", shapes)).variant is None


def test_prediction_comes_from_a_marker_tensor_or_the_family(tmp_path):
    noob = {**unet(2048), **FIRST_STAGE, "v_pred": [0], "ztsnr": [0]}
    assert identify(write_safetensors(tmp_path / "a.safetensors", noob)).prediction == "v_prediction"
    cos = {**unet(2048), **FIRST_STAGE, "edm_vpred.sigma_max": [], "edm_vpred.sigma_min": []}
    assert identify(write_safetensors(tmp_path / "d.safetensors", cos)).prediction == "v_prediction"
    plain = {**unet(2048), **FIRST_STAGE}
    assert identify(write_safetensors(tmp_path / "b.safetensors", plain)).prediction is None
    said = {"modelspec.prediction_type": "v"}
    assert identify(write_safetensors(tmp_path / "c.safetensors", plain, said)).prediction == "v_prediction"
    flow = {"joint_blocks.0.x_block.attn.qkv.weight": [4608, 1536], "t_embedder.mlp.0.weight": [1536, 256]}
    assert identify(write_safetensors(tmp_path / "d.safetensors", flow, said)).prediction == "flow"


def test_what_tensors_leave_open_is_ambiguous_until_metadata_say_more(tmp_path):
    shapes = lora({kohya("down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_k"): (320, 320)})
    open_ = identify(write_safetensors(tmp_path / "a.safetensors", shapes))
    assert (open_.family, open_.confidence) == (None, "ambiguous")
    told = identify(write_safetensors(tmp_path / "b.safetensors", shapes, {"ss_base_model_version": "sd_v2"}))
    assert (told.family, told.confidence) == ("sd2", "likely")
    impossible = identify(write_safetensors(tmp_path / "c.safetensors", shapes, {"ss_base_model_version": "flux1"}))
    assert impossible.family is None


def test_metadata_can_not_make_an_unknown_network_a_stable_diffusion(tmp_path):
    shapes = lora({"diffusion_model.novel_blocks.0.mixer": (512, 512)}, down="lora_A", up="lora_B")
    found = identify(write_safetensors(tmp_path / "a.safetensors", shapes, {"ss_base_model_version": "sd_1.5"}))
    assert (found.kind, found.family, found.base_model, found.confidence) == ("lora", None, None, "unknown")


def test_two_families_in_one_file_are_ambiguous(tmp_path):
    shapes = lora(
        {"joint_blocks.0.x_block.attn.qkv": (1536, 4608), "double_stream_blocks.0.block.attn1.to_q": (2560, 2560)}
    )
    found = identify(write_safetensors(tmp_path / "a.safetensors", shapes))
    assert (found.family, found.confidence) == (None, "ambiguous")


@pytest.mark.parametrize(
    "name", ["", "\n", "a\nb", "\n\n", "\u2028", "é.ü", ".", "_", "0", "blocks.0.attn", "x" * 10_000]
)
def test_odd_names_are_merely_unknown(tmp_path, name):
    shapes = {name: [4, 4], f"transformer.transformer_blocks.0.attn.to_q{name}.lora_A.weight": [4, 3072]}
    found = identify(write_safetensors(tmp_path / "a.safetensors", shapes))
    assert found.family in (None, "qwen-image")


def test_the_order_of_tensors_does_not_matter(tmp_path):
    for shapes, kind, family in CASES.values():
        turned = dict(reversed(shapes.items()))
        found = identify(write_safetensors(tmp_path / "a.safetensors", turned))
        assert (found.kind, found.family) == (kind, family)


@pytest.mark.parametrize(
    ("names", "layout"),
    [
        (["lora_unet_down_blocks_0_x.lora_down.weight"], "kohya"),
        (["base_model.model.unet.x.lora_A.weight"], "peft"),
        (["transformer.x.lora_A.weight"], "diffusers"),
        (["lora_unet_x.hada_w1_a"], "lycoris"),
        (["lora_transformer_x.lora_down.weight"], "onetrainer"),
    ],
)
def test_the_layout_of_a_lora_is_told(tmp_path, names, layout):
    found = identify(write_safetensors(tmp_path / "a.safetensors", {name: [4, 4] for name in names}))
    assert (found.kind, found.layout, found.format) == ("lora", layout, "safetensors")
