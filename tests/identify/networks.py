"""Modules of real networks, with their names, widths and block counts, and how each layout spells tensors of them."""

from __future__ import annotations

from identify.late import late

Shapes = dict[str, list[int]]
Modules = dict[str, tuple[int, ...]]

# Networks, as module name to (input, output) or (input, output, kernel, kernel).


def attention(stem: str, width: int, context: int, depth: int, *, linear: bool) -> Modules:
    """One attention module of a UNet."""
    project = (width, width) if linear else (width, width, 1, 1)
    modules: Modules = {f"{stem}.proj_in": project}
    for number in range(depth):
        block = f"{stem}.transformer_blocks.{number}"
        for part in ("to_q", "to_k", "to_v", "to_out.0"):
            modules[f"{block}.attn1.{part}"] = (width, width)
            modules[f"{block}.attn2.{part}"] = (context if part in {"to_k", "to_v"} else width, width)
        modules[f"{block}.ff.net.0.proj"] = (width, 8 * width)
        modules[f"{block}.ff.net.2"] = (4 * width, width)
    modules[f"{stem}.proj_out"] = project
    return modules


UNETS = {  # base width, levels' multiples, depth of attention per level, context, linear, condition
    "sd1": (320, (1, 2, 4, 4), (1, 1, 1, 0), 768, False, 0),
    "sd2": (320, (1, 2, 4, 4), (1, 1, 1, 0), 1024, True, 0),
    "sdxl": (320, (1, 2, 4), (0, 2, 10), 2048, True, 2816),
    "sdxl-refiner": (384, (1, 2, 4, 4), (0, 4, 4, 0), 1280, True, 2560),
}


@late
def ldm_unet(family: str, channels: int = 4) -> Modules:
    """A UNet as CompVis names its modules."""
    base, multiples, depths, context, linear, condition = UNETS[family]
    modules: Modules = {"input_blocks.0.0": (channels, base, 3, 3), "time_embed.0": (base, 4 * base)}
    if condition:
        modules["label_emb.0.0"] = (condition, 4 * base)
    number = 0
    for level, (multiple, depth) in enumerate(zip(multiples, depths, strict=True)):
        width = base * multiple
        for _ in range(2):
            number += 1
            modules[f"input_blocks.{number}.0.in_layers.2"] = (width, width, 3, 3)
            if depth:
                modules |= attention(f"input_blocks.{number}.1", width, context, depth, linear=linear)
        if level < len(multiples) - 1:
            number += 1
            modules[f"input_blocks.{number}.0.op"] = (width, width, 3, 3)
    deepest = depths[-1] or depths[-2]
    modules |= attention("middle_block.1", base * multiples[-1], context, deepest, linear=linear)
    number = 0
    for multiple, depth in zip(reversed(multiples), reversed(depths), strict=True):
        for _ in range(3):
            modules[f"output_blocks.{number}.0.in_layers.2"] = (base * multiple, base * multiple, 3, 3)
            if depth:
                modules |= attention(f"output_blocks.{number}.1", base * multiple, context, depth, linear=linear)
            number += 1
    return modules


@late
def diffusers_unet(family: str, channels: int = 4) -> Modules:
    """A UNet as diffusers names its modules."""
    base, multiples, depths, context, linear, condition = UNETS[family]
    modules: Modules = {"conv_in": (channels, base, 3, 3), "time_embedding.linear_1": (base, 4 * base)}
    if condition:
        modules["add_embedding.linear_1"] = (condition, 4 * base)
    levels = list(enumerate(zip(multiples, depths, strict=True)))
    for side, order, count in (("down", levels, 2), ("up", list(enumerate(item for _, item in levels[::-1])), 3)):
        for level, (multiple, depth) in order:
            for number in range(count):
                modules[f"{side}_blocks.{level}.resnets.{number}.conv1"] = (base * multiple, base * multiple, 3, 3)
                if depth:
                    stem = f"{side}_blocks.{level}.attentions.{number}"
                    modules |= attention(stem, base * multiple, context, depth, linear=linear)
    modules |= attention(
        "mid_block.attentions.0", base * multiples[-1], context, depths[-1] or depths[-2], linear=linear
    )
    return modules


@late
def clip(width: int, layers: int) -> Modules:
    """A CLIP text encoder as transformers names its modules, from `text_model` on."""
    modules: Modules = {}
    for number in range(layers):
        stem = f"text_model.encoder.layers.{number}"
        modules |= {f"{stem}.self_attn.{part}_proj": (width, width) for part in ("q", "k", "v", "out")}
        modules |= {f"{stem}.mlp.fc1": (width, 4 * width), f"{stem}.mlp.fc2": (4 * width, width)}
    return modules


@late
def flux(double: int = 19, single: int = 38, *, modulation: bool = True) -> Modules:
    """FLUX.1 as its authors name it."""
    modules: Modules = {}
    for number in range(double):
        for side in ("img", "txt"):
            stem = f"double_blocks.{number}.{side}"
            modules |= {f"{stem}_attn.qkv": (3072, 9216), f"{stem}_attn.proj": (3072, 3072)}
            modules |= {f"{stem}_mlp.0": (3072, 12288), f"{stem}_mlp.2": (12288, 3072)}
            if modulation:
                modules[f"{stem}_mod.lin"] = (3072, 18432)
    for number in range(single):
        stem = f"single_blocks.{number}"
        modules |= {f"{stem}.linear1": (3072, 21504), f"{stem}.linear2": (15360, 3072)}
        if modulation:
            modules[f"{stem}.modulation.lin"] = (3072, 9216)
    return modules


@late
def flux2(width: int = 6144, double: int = 8, single: int = 48) -> Modules:
    """FLUX.2 as its authors name it: 6144 wide, Klein 9B 4096, Klein 4B 3072."""
    modules: Modules = {}
    for number in range(double):
        for side in ("img", "txt"):
            stem = f"double_blocks.{number}.{side}"
            modules |= {f"{stem}_attn.qkv": (width, 3 * width), f"{stem}_attn.proj": (width, width)}
            modules |= {f"{stem}_mlp.0": (width, 6 * width), f"{stem}_mlp.2": (3 * width, width)}
    for number in range(single):
        stem = f"single_blocks.{number}"
        modules |= {f"{stem}.linear1": (width, 9 * width), f"{stem}.linear2": (4 * width, width)}
    return modules


@late
def flux_diffusers(double: int = 19, single: int = 38, *, ff: bool = True, norms: bool = False) -> Modules:
    """FLUX.1 as diffusers names it."""
    modules: Modules = {}
    for number in range(double):
        stem = f"transformer_blocks.{number}"
        parts = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
        modules |= {f"{stem}.attn.{part}": (3072, 3072) for part in parts}
        if ff:
            for side in ("ff", "ff_context"):
                modules |= {f"{stem}.{side}.net.0.proj": (3072, 12288), f"{stem}.{side}.net.2": (12288, 3072)}
        if norms:
            modules |= {f"{stem}.norm1.linear": (3072, 18432), f"{stem}.norm1_context.linear": (3072, 18432)}
    for number in range(single):
        stem = f"single_transformer_blocks.{number}"
        modules |= {f"{stem}.attn.{part}": (3072, 3072) for part in ("to_q", "to_k", "to_v")}
        if ff:
            modules |= {f"{stem}.proj_mlp": (3072, 12288), f"{stem}.proj_out": (15360, 3072)}
        if norms:
            modules[f"{stem}.norm.linear"] = (3072, 9216)
    return modules


@late
def joint(width: int, blocks: int) -> Modules:
    """Stable Diffusion 3 as its authors name it: 1536 wide, 3.5 large 2432."""
    modules: Modules = {}
    for number in range(blocks):
        for side in ("x_block", "context_block"):
            stem = f"joint_blocks.{number}.{side}"
            modules |= {f"{stem}.attn.qkv": (width, 3 * width), f"{stem}.attn.proj": (width, width)}
            modules |= {f"{stem}.mlp.fc1": (width, 4 * width), f"{stem}.mlp.fc2": (4 * width, width)}
    return modules


@late
def joint_diffusers(width: int, blocks: int) -> Modules:
    """Stable Diffusion 3 as diffusers names it."""
    modules: Modules = {}
    for number in range(blocks):
        stem = f"transformer_blocks.{number}"
        parts = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
        modules |= {f"{stem}.attn.{part}": (width, width) for part in parts}
        modules |= {f"{stem}.ff.net.0.proj": (width, 4 * width), f"{stem}.ff.net.2": (4 * width, width)}
    return modules


@late
def qwen(*, feed_forward: bool = True) -> Modules:
    """Qwen-Image."""
    modules: Modules = {}
    for number in range(60):
        stem = f"transformer_blocks.{number}"
        parts = ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
        modules |= {f"{stem}.attn.{part}": (3072, 3072) for part in parts}
        if feed_forward:
            for side in ("img_mlp", "txt_mlp"):
                modules |= {f"{stem}.{side}.net.0.proj": (3072, 12288), f"{stem}.{side}.net.2": (12288, 3072)}
    return modules


@late
def z_image(*, fused: bool = True) -> Modules:
    """Z-Image, with its attention fused as its authors have it or parted as diffusers does."""
    modules: Modules = {}
    for number in range(30):
        stem = f"layers.{number}"
        if fused:
            modules |= {f"{stem}.attention.qkv": (3840, 11520), f"{stem}.attention.out": (3840, 3840)}
        else:
            modules |= {f"{stem}.attention.{part}": (3840, 3840) for part in ("to_q", "to_k", "to_v", "to_out.0")}
        modules |= {f"{stem}.feed_forward.w1": (3840, 10240), f"{stem}.feed_forward.w2": (10240, 3840)}
        modules[f"{stem}.adaLN_modulation.0"] = (256, 15360)
    return modules


@late
def wan(width: int = 5120, blocks: int = 40) -> Modules:
    """Wan as its authors name it: 14B is 5120 wide, 5B 3072, 1.3B 1536."""
    modules: Modules = {}
    inner = {5120: 13824, 3072: 14336, 1536: 8960}[width]
    for number in range(blocks):
        stem = f"blocks.{number}"
        for which in ("self_attn", "cross_attn"):
            modules |= {f"{stem}.{which}.{part}": (width, width) for part in "qkvo"}
        modules |= {f"{stem}.ffn.0": (width, inner), f"{stem}.ffn.2": (inner, width)}
    return modules


@late
def wan_diffusers(width: int = 5120, blocks: int = 40) -> Modules:
    """Wan as diffusers names it."""
    modules: Modules = {}
    for number in range(blocks):
        for which in ("attn1", "attn2"):
            parts = ("to_q", "to_k", "to_v", "to_out.0")
            modules |= {f"blocks.{number}.{which}.{part}": (width, width) for part in parts}
        modules |= {f"blocks.{number}.ffn.net.0.proj": (width, 13824), f"blocks.{number}.ffn.net.2": (13824, width)}
    return modules


@late
def ltx(width: int = 2048, blocks: int = 28) -> Modules:
    """LTX-Video, 2048 wide, or 4096 with 48 blocks."""
    modules: Modules = {}
    for number in range(blocks):
        stem = f"transformer_blocks.{number}"
        for which in ("attn1", "attn2"):
            modules |= {f"{stem}.{which}.{part}": (width, width) for part in ("to_q", "to_k", "to_v", "to_out.0")}
        modules |= {f"{stem}.ff.net.0.proj": (width, 4 * width), f"{stem}.ff.net.2": (4 * width, width)}
    return modules


@late
def krea2(*, diffusers: bool = False) -> Modules:
    """Krea 2."""
    modules: Modules = {}
    for number in range(28):
        if diffusers:
            stem = f"transformer_blocks.{number}"
            modules |= {f"{stem}.attn.{part}": (6144, 6144) for part in ("to_q", "to_k", "to_v", "to_out.0", "to_gate")}
            modules |= {f"{stem}.ff.{part}": (6144, 16384) for part in ("gate", "up")}
        else:
            stem = f"blocks.{number}"
            modules |= {f"{stem}.attn.{part}": (6144, 6144) for part in ("wq", "wk", "wv", "wo", "gate")}
            modules |= {f"{stem}.mlp.{part}": (6144, 16384) for part in ("gate", "up")}
    return modules


@late
def hunyuan() -> Modules:
    """HunyuanVideo as its authors name it."""
    modules: Modules = {}
    for number in range(20):
        for side in ("img", "txt"):
            stem = f"double_blocks.{number}.{side}"
            modules |= {f"{stem}_attn_qkv": (3072, 9216), f"{stem}_attn_proj": (3072, 3072)}
            modules |= {f"{stem}_mlp.fc1": (3072, 12288), f"{stem}_mlp.fc2": (12288, 3072)}
    for number in range(40):
        modules |= {f"single_blocks.{number}.linear1": (3072, 21504), f"single_blocks.{number}.linear2": (15360, 3072)}
    return modules


# Layouts: modules to tensors' shapes.


@late
def whole(modules: Modules, prefix: str = "") -> Shapes:
    """The weights themselves."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        shapes[f"{prefix}{name}.weight"] = [given, taken, *kernel]
        shapes[f"{prefix}{name}.bias"] = [given]
    return shapes


def _products(stem: str, size: tuple[int, ...], down: str, up: str, rank: int) -> Shapes:
    taken, given, *kernel = size
    return {f"{stem}.{down}": [rank, taken, *kernel], f"{stem}.{up}": [given, rank, *[1 for _ in kernel]]}


@late
def kohya(modules: Modules, prefix: str = "lora_unet_", rank: int = 16) -> Shapes:
    """kohya's trainer, OneTrainer and musubi: one underscored path, an alpha beside each."""
    shapes: Shapes = {}
    for name, size in modules.items():
        stem = prefix + name.replace(".", "_")
        shapes |= _products(stem, size, "lora_down.weight", "lora_up.weight", rank) | {f"{stem}.alpha": []}
    return shapes


@late
def peft(modules: Modules, prefix: str = "", rank: int = 16) -> Shapes:
    """Peft and diffusers: dotted paths, `lora_A` and `lora_B`."""
    return {
        name: shape
        for module, size in modules.items()
        for name, shape in _products(prefix + module, size, "lora_A.weight", "lora_B.weight", rank).items()
    }


@late
def dotted(modules: Modules, prefix: str = "", rank: int = 16) -> Shapes:
    """Dotted paths with kohya's endings, as some ai-toolkit and OneTrainer files have them."""
    return {
        name: shape
        for module, size in modules.items()
        for name, shape in _products(prefix + module, size, "lora_down.weight", "lora_up.weight", rank).items()
    }


@late
def loha(modules: Modules, prefix: str = "lora_unet_") -> Shapes:
    """LyCORIS's Hadamard products."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        stem = prefix + name.replace(".", "_")
        for number in "12":
            shapes |= {f"{stem}.hada_w{number}_a": [given, 8], f"{stem}.hada_w{number}_b": [8, taken]}
            if kernel[:1] == [3]:
                shapes[f"{stem}.hada_t{number}"] = [8, 8, *kernel]
        shapes[f"{stem}.alpha"] = []
    return shapes


@late
def lokr(modules: Modules, prefix: str = "lora_unet_", *, whole_second: bool = True) -> Shapes:
    """LyCORIS's Kronecker products."""
    shapes: Shapes = {}
    for name, (taken, given, *kernel) in modules.items():
        stem = prefix + name.replace(".", "_")
        shapes[f"{stem}.lokr_w1"] = [4, 4]
        if whole_second:
            shapes[f"{stem}.lokr_w2"] = [given // 4, taken // 4, *kernel]
        else:
            shapes |= {f"{stem}.lokr_w2_a": [given // 4, 8], f"{stem}.lokr_w2_b": [8, taken // 4]}
        shapes[f"{stem}.alpha"] = []
    return shapes


@late
def ending(modules: Modules, prefix: str, sizes: dict[str, str]) -> Shapes:
    """Other LyCORIS algorithms: tensor ending to its shape, in letters: i(nput), o(utput), r(ank 16), digits."""
    shapes: Shapes = {}
    for name, (taken, given, *_) in modules.items():
        width = {"i": taken, "o": given, "r": 16}
        stem = prefix + name.replace(".", "_")
        shapes |= {
            f"{stem}.{end}": [width.get(part) or int(part) for part in spec.split()] for end, spec in sizes.items()
        }
    return shapes


@late
def parts(modules: Modules, *words: str) -> Modules:
    """Those modules whose names contain one of `words`."""
    return {name: size for name, size in modules.items() if any(word in name for word in words)}
