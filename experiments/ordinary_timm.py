"""timm's models as search spaces: which score ranks what practitioners take from a library?

    untrained bench --space ordinary_timm:convolutional --images cifar10 --train 24

in this folder, with timm installed, draws 24 of them; `bash ordinary_timm.sh` made the leaderboard
of `results/ordinary/timm`. All of them take pictures of 32 pixels.
"""

import timm
from torch import nn

from untrained import Choose

CONVOLUTIONAL = (
    "resnet10t", "resnet14t", "resnet18", "resnet18d", "resnet26t", "resnetv2_18",
    "seresnet18", "skresnet18", "mobilenetv2_050", "mobilenetv2_100", "mobilenetv3_small_050",
    "mobilenetv3_small_100", "mobilenetv3_large_075", "mobilenetv3_large_100",
    "mobilenetv4_conv_small", "efficientnet_lite0", "efficientnet_b0", "efficientnetv2_rw_t",
    "regnetx_002", "regnetx_004", "regnety_002", "regnety_004", "regnety_008", "lcnet_050",
    "lcnet_100", "tinynet_e", "tinynet_c", "mnasnet_small", "semnasnet_050", "semnasnet_075",
    "spnasnet_100", "fbnetc_100", "mixnet_s", "ghostnet_050", "ghostnet_100",
    "ese_vovnet19b_slim", "dla46_c", "hardcorenas_a", "rexnet_100", "convnext_atto",
    "convnext_femto", "convnextv2_atto", "repvgg_a0", "starnet_s1", "mambaout_femto",
    "inception_next_atto", "cs3darknet_s", "darknet17", "gernet_s", "hrnet_w18_small",
)  # fmt: skip
ATTENTION = (
    "vit_tiny_patch16_224", "deit_tiny_patch16_224", "vit_small_patch32_224",
    "vit_small_patch16_224", "xcit_nano_12_p16_224", "xcit_tiny_12_p16_224", "pit_ti_224",
    "pit_xs_224", "levit_128s", "levit_128", "mixer_s32_224", "mixer_s16_224", "gmixer_12_224",
    "pvt_v2_b0", "pvt_v2_b1", "tiny_vit_5m_224", "tiny_vit_11m_224", "mobilevit_xxs",
    "mobilevit_xs", "mobilevitv2_050", "mobilevitv2_075", "swiftformer_xs", "iformer_t",
    "edgenext_xx_small", "edgenext_x_small", "efficientformerv2_s0", "coat_lite_tiny",
    "coat_tiny", "poolformer_s12", "poolformerv2_s12", "convit_tiny", "gmlp_ti16_224",
    "resmlp_12_224", "visformer_tiny", "repvit_m0_9", "fastvit_t8", "efficientvit_b0",
    "efficientvit_m0", "efficientvit_m2", "shvit_s1", "lowformer_b0",
    "swin_tiny_patch4_window7_224", "vit_tiny_r_s16_p8_224", "maxvit_rmlp_pico_rw_256",
)  # fmt: skip


def convolutional(choose: Choose, inputs: int, classes: int) -> nn.Module:
    """ResNets, MobileNets, EfficientNets, RegNets, ConvNeXts and others, of .6 to 14 million."""
    return timm.create_model(choose("model", CONVOLUTIONAL), in_chans=inputs, num_classes=classes)


def attention(choose: Choose, inputs: int, classes: int, size: int) -> nn.Module:
    """Vision transformers, hybrids, and networks that mix tokens in other ways, of 1 to 28."""
    name = choose("model", ATTENTION)
    sized = {"img_size": size} if timm.get_pretrained_cfg(name).fixed_input_size else {}
    return timm.create_model(name, in_chans=inputs, num_classes=classes, **sized)
