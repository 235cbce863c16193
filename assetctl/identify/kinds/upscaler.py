"""Upscalers: networks that enlarge or restore a picture without a prompt, such as ESRGAN, SwinIR and SCUNet.

Networks that draw faces anew (GFPGAN, CodeFormer), fill holes (LaMa) or colour pictures are none, and no other kind.

Sources: the architectures of chaiNNer-org/spandrel, neosr-project/neosr, rewaifu/resselt.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from assetctl.identify.features import Features, Kind

if TYPE_CHECKING:
    from assetctl.identify.outline import Outline

#: Names that give a network away alone: of ESRGAN's and SwinIR's kin, of OmniSR, of what resselt's trainers end with.
_NAMES = (
    "RDB1.conv1.", "RDB1.conv1x1.", "rdb1.conv1.", "RRDB_trunk.", "residual_group.",
    "residual_layer.0.residual_layer.0.", "upsampler.MetaUpsample", "upscale.MetaUpsample", "to_img.MetaUpsample",
    "dim_to_out.MetaUpsample",
)  # fmt: skip

#: Modules that give a network away together.
_TOGETHER = (
    ("conv_first.", "conv_last."), ("conv_first.", "conv_after_body."),  # SwinIR's kin, DAT, HAT, GRL, SRResNet, EDSR
    ("fea_conv.", "LR_conv."),  # DCTLSA, RFDN, IMDN
    ("sft.", "UFONE."),  # DITN
    ("block_1.c1_r.", "conv_cat."), ("block_1.c1_r.", "upsampler."), ("feats.0.block_1.c1_r.",),  # SPAN, RLFN, SPANPlus
    ("plk_filter", "blocks.0.pconvs.0."), ("conv0.", "depth_to_space.upscale."),  # ESC, ArtCNN
    ("first_conv.", "last_conv.", "upconv0."), ("entry.", "exit.", "upsample."),  # CATANet, CARN
    ("spynet.", "conv_last."), ("spynet.", "reconstruction."),  # films: BasicVSR
    ("feats.0.", "feats.0.lk."),  # PLKSR, RealPLKSR
    ("gblocks.0.", "upsampler."), ("gblocks.0.", "to_img."), ("gblocks.0.", "shortcut."),  # MoSR
    ("to_feat.", "to_img."),  # SAFMN, RTMoSR, RHA
    ("in_to_dim.", "dim_to_in."), ("in_to_dim.", "dim_to_ch."),  # GateR
    ("in_to_feat.", "to_img."),  # FlexNet
    ("body.0.local_block.", "body.0.global_block."),  # SeemoRe
    ("BSConv_first.", "BSConv_last."),  # MSDAN
    ("initial.cnn.depthwise.", "final_conv.pointwise."),  # Swift-SRGAN
    ("multiscale_encoder.", "decoder_group.0."),  # FeMaSR, AdaCode
    ("unet1.conv1.", "unet1.conv_bottom."),  # waifu2x, Real-CUGAN
    ("final_res_block.block1.proj.", "mid_block2.block1.proj."),  # AuraSR
    ("sub_mean.", "body.query_embed."),  # IPT
    ("swin2sr.first_convolution.",),  # Swin2SR as transformers names it
    # what restores pictures, as large as they are
    ("m_head.", "m_tail."),  # SCUNet, DRUNet, FBCNN
    ("intro.", "ending."),  # NAFNet, KBNet, M3SNet
    ("encoder_level1.0.", "refinement.0.", "output."),  # Restormer, FFTformer, KBNet
    ("shallow_feat1.0.", "stage1_encoder."),  # MPRNet
    ("body.0.body.0.dau_top.", "body.0.body.0.skff_top."),  # MIRNet
    ("input_proj.proj.", "output_proj.proj.", "encoderlayer_0."),  # Uformer
    ("HVE_block0.", "HV_LCA1."),  # HVI-CIDNet
    ("body.0.estimator.", "body.0.denoiser."),  # Retinexformer
    ("patch_embed.proj.", "patch_unembed.proj.", "patch_split1.proj."),  # MixDehazeNet
)  # fmt: skip

#: How trainers name a network's first convolution, and what makes the picture at its end.
_FIRST = ("conv_first", "conv_first.1", "head", "head.0", "head.1", "head.0.0", "in_to_dim", "to_feat", "fea_conv")
_LAST = ("tail.", "upsampler.", "upsample.", "upscale.", "upscaler.", "to_img.", "up.", "conv_last.", "reconstruction.")

#: What trainers keep a network under.
_ROOTS = ("", "state_dict.", "model.", "module.", "net_g.", "netG.", "generator.", "g_ema.")

_NAMED = tuple((tuple(f"{root}{name}." for name in _FIRST), tuple(root + name for name in _LAST)) for root in _ROOTS)

#: Channels of a picture: grey, colours, with transparency; of two by two or four by four pixels side by side.
_CHANNELS = frozenset({1, 3, 4, 12, 48})

#: One stack of convolutions, slopes and norms, and nothing beside it.
_STACK = re.compile(
    r"(?:\n(?:\w+\.){0,2}(?:body|model)\.\d+\.(?:weight|bias|running_mean|running_var|num_batches_tracked))++\n"
)


def _takes_pictures(shape: tuple[int, ...] | None) -> bool:
    return shape is not None and len(shape) == 4 and shape[1] in _CHANNELS and shape[2] == shape[3]


def _stacked(outline: Outline) -> bool:
    """Whether it is one stack from a picture to pictures: Real-ESRGAN's compact network, DnCNN."""
    if _STACK.fullmatch(outline.header.names) is None:
        return False
    found = (outline.header.shape(name) or () for name in outline.header.tensors)
    shapes = [shape for shape in found if len(shape) > 1]
    square = all(len(shape) == 4 and shape[2:] == (3, 3) for shape in shapes)
    return len(shapes) > 2 and square and shapes[0][1] in (1, 3, 4) and shapes[-1][0] % shapes[0][1] == 0


def _built_alike(outline: Outline) -> bool:
    """Whether it is named as most are: a convolution that takes a picture, a body, and what makes a larger one."""
    named = any(outline.begins(*first) and outline.begins(*last) for first, last in _NAMED)
    return named and any(_takes_pictures(outline.shape(name)) for name in _FIRST)


def _marks(outline: Outline) -> str | None:
    if outline.has(*_NAMES) or any(all(map(outline.has, names)) for names in _TOGETHER):
        return "it has the blocks of a network that enlarges or restores pictures"
    if _stacked(outline):
        return "it is one stack of convolutions from a picture to a picture"
    return "it leads from a convolution over a picture to a larger one" if _built_alike(outline) else None


def _read(outline: Outline) -> Features:
    return Features("upscaler", None, outline)


KIND = Kind("upscaler", _marks, _read)
