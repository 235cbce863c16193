"""Networks that are built much like those of `networks.py`, or belong to families with fewer files, and their parts."""

from __future__ import annotations

from identify.late import late
from identify.networks import Modules, Shapes, flux, flux_diffusers

JOINT = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")


@late
def twice(width: int, blocks: int, text: int | None = None, *, ff: bool = True) -> Modules:
    """Blocks that attend to themselves and to text, as wide as they are unless said otherwise: PixArt, Sana, Cosmos."""
    modules: Modules = {}
    for number in range(blocks):
        stem = f"transformer_blocks.{number}"
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            modules[f"{stem}.attn1.{part}"] = (width, width)
            modules[f"{stem}.attn2.{part}"] = ((text or width) if part in {"to_k", "to_v"} else width, width)
        if ff:
            modules |= {f"{stem}.ff.net.0.proj": (width, 4 * width), f"{stem}.ff.net.2": (4 * width, width)}
    return modules


@late
def once(width: int, blocks: int) -> Modules:
    """Blocks that attend to picture and text at once, by `attn1`: CogView4, GLM-Image, CogVideoX."""
    return {name: size for name, size in twice(width, blocks).items() if ".attn2." not in name}


@late
def cosmos(width: int = 2048, blocks: int = 28) -> Modules:
    """Cosmos-Predict2 and Anima as their authors name them."""
    modules: Modules = {}
    for number in range(blocks):
        stem = f"blocks.{number}"
        for part in ("q_proj", "k_proj", "v_proj", "output_proj"):
            modules[f"{stem}.self_attn.{part}"] = (width, width)
            modules[f"{stem}.cross_attn.{part}"] = (1024 if part in {"k_proj", "v_proj"} else width, width)
        modules |= {f"{stem}.mlp.layer1": (width, 4 * width), f"{stem}.mlp.layer2": (4 * width, width)}
    return modules


@late
def ovis() -> Modules:
    """Ovis-Image as ComfyUI names it: FLUX.1's blocks with a gated feed-forward 4 times as wide as they are."""
    modules = {name: size for name, size in flux(6, 27).items() if "_mlp." not in name}
    for number in range(6):
        for side in ("img", "txt"):
            stem = f"double_blocks.{number}.{side}_mlp"
            modules |= {f"{stem}.{part}": (3072, 12288) for part in ("gate_proj", "up_proj")}
            modules[f"{stem}.down_proj"] = (12288, 3072)
    return modules | {f"single_blocks.{number}.linear1": (3072, 33792) for number in range(27)}


@late
def ovis_diffusers() -> Modules:
    """Ovis-Image as diffusers names it."""
    wide = ("net.0.proj", "proj_mlp")
    modules = flux_diffusers(6, 27, norms=True)
    return {name: (3072, 24576) if name.endswith(wide) else size for name, size in modules.items()}


@late
def hunyuan_image() -> Modules:
    """HunyuanImage 2.1: HunyuanVideo's names, 3584 wide."""
    modules: Modules = {}
    for number in range(20):
        for side in ("img", "txt"):
            stem = f"double_blocks.{number}.{side}"
            modules |= {f"{stem}_attn_qkv": (3584, 10752), f"{stem}_attn_proj": (3584, 3584)}
            modules |= {f"{stem}_mlp.fc1": (3584, 14336), f"{stem}_mod.linear": (3584, 21504)}
    for number in range(40):
        modules |= {f"single_blocks.{number}.linear1": (3584, 25088), f"single_blocks.{number}.linear2": (17920, 3584)}
    return modules


@late
def flux2_diffusers(width: int = 6144, double: int = 8, single: int = 48) -> Modules:
    """FLUX.2 as diffusers names it."""
    modules: Modules = {}
    for number in range(double):
        stem = f"transformer_blocks.{number}"
        modules |= {f"{stem}.attn.{part}": (width, width) for part in JOINT}
        modules |= {f"{stem}.{ff}.linear_in": (width, 6 * width) for ff in ("ff", "ff_context")}
    for number in range(single):
        modules[f"single_transformer_blocks.{number}.attn.to_qkv_mlp_proj"] = (width, 9 * width)
    return modules


@late
def auraflow() -> Modules:
    """AuraFlow as diffusers names it."""
    modules: Modules = {}
    for number in range(4):
        modules |= {f"joint_transformer_blocks.{number}.attn.{part}": (3072, 3072) for part in JOINT}
    for number in range(32):
        stem = f"single_transformer_blocks.{number}"
        modules |= {f"{stem}.attn.{part}": (3072, 3072) for part in ("to_q", "to_k", "to_v")}
        modules[f"{stem}.ff.linear_1"] = (3072, 8192)
    return modules


@late
def lumina2() -> Modules:
    """Lumina-Image 2 as diffusers names it: four heads share a key."""
    modules: Modules = {}
    for number in range(26):
        stem = f"layers.{number}"
        modules |= {
            f"{stem}.attn.to_q": (2304, 2304),
            f"{stem}.attn.to_k": (2304, 768),
            f"{stem}.attn.to_v": (2304, 768),
        }
        modules[f"{stem}.feed_forward.linear_1"] = (2304, 9216)
    return modules


# Layouts of packed weights, of which only shapes are told here.


@late
def nf4(modules: Modules) -> Shapes:
    """bitsandbytes: two numbers a byte in one column; biases stay as they are."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        shapes |= {f"{name}.weight": [given, taken, *kernel] if kernel else [given * taken // 2, 1]}
        shapes |= {f"{name}.weight.absmax": [given * taken // 64], f"{name}.bias": [given]}
    return shapes


@late
def nvfp4(modules: Modules, prefix: str = "") -> Shapes:
    """ComfyUI's NVFP4, once written as `U8`: two numbers a byte, a scale for each sixteen; convolutions stay whole."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        shapes[f"{prefix}{name}.weight"] = [given, taken, *kernel] if kernel else [given, taken // 2]
        if not kernel:
            shapes |= {f"{prefix}{name}.weight_scale": [given, taken // 16], f"{prefix}{name}.weight_scale_2": []}
    return shapes


@late
def svdquant(modules: Modules) -> Shapes:
    """Nunchaku: packed weights by another name, with a low-rank branch beside them."""
    shapes: Shapes = {}
    for name, (taken, given) in modules.items():
        shapes |= {f"{name}.qweight": [given, taken // 2], f"{name}.wscales": [taken // 64, given]}
        shapes |= {f"{name}.lora_down": [taken, 32], f"{name}.lora_up": [given, 32]}
    return shapes


@late
def oft(modules: Modules, prefix: str = "", size: int = 32) -> Shapes:
    """Peft's OFT: rotations of `size` features, each the half above a diagonal."""
    half = size * (size - 1) // 2
    return {f"{prefix}{name}.oft_R.weight": [taken // size, half] for name, (taken, *_) in modules.items()}


@late
def differences(modules: Modules, prefix: str = "diffusion_model.") -> Shapes:
    """Whole differences as ComfyUI saves them."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        shapes |= {f"{prefix}{name}.diff": [given, taken, *kernel], f"{prefix}{name}.diff_b": [given]}
    return shapes
