"""The two encoders and the projection that puts pictures and texts into one space (paper section 2.1, as in FLAIR).

    picture -> ImageEncoder -> (B, width) -> Projection -> V (B, D), length one
    texts   -> TextEncoder  -> (B, width) -> Projection -> T (B, D), length one

Networks come from torchvision and transformers; this file joins them. Not about: losses, training, class vectors.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention
from torchvision.models.regnet import BlockParams, RegNet

from .chunks import in_chunks
from .config import InputError, ModelConfig
from .weights import bert_from, from_source, image_weights, package, text_source


class Projection(nn.Module):
    """Unit length, a linear map without bias, unit length again: (B, width) -> (B, D)."""

    def __init__(self, width: int, dim: int):
        super().__init__()
        self.projection = nn.Linear(width, dim, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return normalize(self.projection(normalize(x, dim=-1)), dim=-1)


# ---------------------------------------------------------------------------------------------------------- pictures


def regnet_mini() -> tuple[nn.Module, int]:
    """A RegNet of a quarter of a million weights: four stages of one block, trained from nothing in a minute."""
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
        setattr(self.model, classifier, nn.Identity())
        if pretrained and config.image_weights:
            weights = image_weights(config.image_encoder, config.image_weights)
            self._load({name: tensor for name, tensor in weights.items() if not name.startswith(f"{classifier}.")}, config)
        self.frozen_stages, self.batch_norm = config.frozen_stages, config.batch_norm
        for stage in self.stages()[: self.frozen_stages]:
            stage.requires_grad_(False)
        self.register_buffer("mean", torch.tensor(config.image_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(config.image_std).view(3, 1, 1), persistent=False)

    def _load(self, weights: dict[str, Tensor], config: ModelConfig) -> None:
        ours = {name: tensor.shape for name, tensor in self.model.state_dict().items()}
        theirs = {name: getattr(tensor, "shape", None) for name, tensor in weights.items()}
        odd = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
        if odd:
            what = f"{len(odd)} tensors do not fit {config.image_encoder}, the first is {min(odd)}"
            raise InputError(f"{what}: give a plain state dict of that network", config.image_weights)
        self.model.load_state_dict(weights)

    def stages(self) -> list[nn.Module]:
        return self._find_stages(self.model)

    def train(self, mode: bool = True) -> ImageEncoder:
        super().train(mode)
        for stage in self.stages()[: self.frozen_stages]:
            stage.eval()
        if self.batch_norm == "running":
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()  # its scale and shift still learn
        return self

    def frozen(self, pixels: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] -> what the first trained stage takes; no gradient is kept."""
        x = ((pixels - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen_stages):
            for stage in self.stages()[: self.frozen_stages]:
                x = stage(x)
        if self.frozen_stages >= len(self.stages()):
            x = x.mean(dim=(2, 3), keepdim=True)  # nothing is left to learn: the average is all that is needed
        return x

    def trained(self, x: Tensor) -> Tensor:
        """What `frozen` returned -> features (B, width)."""
        return self._rest(x).mean(dim=(2, 3))

    def _rest(self, x: Tensor) -> Tensor:
        for stage in self.stages()[self.frozen_stages :]:
            x = stage(x)
        return x

    def maps(self, pixels: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1] -> the last stage before its average over places: (B, width, h, w), what a report looks at."""
        return self._rest(self.frozen(pixels))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.trained(self.frozen(pixels))


# ------------------------------------------------------------------------------------------------------------- texts

KEPT_TEXTS = 100_000  # of which a frozen encoder remembers the features


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
            self.model = bert_from(source)
            self.tokenizer = tokenizer or from_source(AutoTokenizer, source)
        else:
            self.model = BertModel(BertConfig(**config.text_config))
            self.tokenizer = tokenizer
        if getattr(self.model.config, "position_embedding_type", "absolute") != "absolute":
            raise InputError("has relative positions, which this package does not know: give another text encoder", source)
        if config.text_pooling == "published" and self.model.config.num_hidden_layers < 2:
            raise InputError("text_pooling 'published' averages layers 1, 2 and last: give the text encoder two layers or more")
        self.width = self.model.config.hidden_size
        self.max_tokens = config.max_tokens
        self.pooling = config.text_pooling
        self.is_trained = config.text_trained
        self.model.requires_grad_(self.is_trained)
        if self.model.pooler is not None:
            self.model.pooler.requires_grad_(False)  # part of a BERT, not of any embedding here
        self._kept: dict[str, Tensor] = {}  # features of texts already seen, while the weights stay as they are
        self.register_load_state_dict_post_hook(lambda *_: self._kept.clear())

    def train(self, mode: bool = True) -> TextEncoder:
        super().train(mode)
        if not self.is_trained:
            self.model.eval()
        return self

    def tokenize(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """B strings -> {"input_ids", "attention_mask"} (B,L), cut at max_tokens, padded to the longest."""
        if self.tokenizer is None:
            raise InputError("this model has no tokenizer: use encode_tokens, or load one with KeepFIT.from_pretrained")
        settings = {"truncation": True, "max_length": self.max_tokens, "padding": True, "return_tensors": "pt"}
        tokens = self.tokenizer([whole(text) for text in texts], **settings)
        return {name: tokens[name].to(self.model.device) for name in ("input_ids", "attention_mask")}

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        if self.pooling == "published":
            out = self.model(input_ids, attention_mask, output_hidden_states=True)
            return published_pooling(out.hidden_states)
        hidden, lengths = self.packed(input_ids, attention_mask.bool())  # (N, width), B of them
        texts = hidden.split(lengths)  # B of (length, width)
        return torch.stack([text.sum(0) / max(1, len(text)) for text in texts])  # (B, width)

    def packed(self, input_ids: Tensor, mask: Tensor) -> tuple[Tensor, list[int]]:
        """Token numbers and mask (B,L) -> last layer (N, width) of the N real tokens, text after text, and B lengths.

        Each token goes through a BERT by itself but for attention, where it meets the others of its text: laid end to end,
        texts need no padding. In a batch of captions padded to the longest, two positions of three are padding. Measured on
        CPUs; a GPU may mind the many small calls of attention.
        """
        lengths, numbers = mask.sum(1).tolist(), input_ids[mask][None]  # (1, N)
        places = torch.arange(mask.shape[1], device=mask.device).expand_as(mask)[mask][None]  # (1, N)
        x = self.model.embeddings(numbers, token_type_ids=torch.zeros_like(numbers), position_ids=places)[0]  # (N, width)
        for layer in self.model.encoder.layer:
            attended = layer.attention.output(self._attention(layer.attention.self, x, lengths), x)  # (N, width)
            x = layer.output(layer.intermediate(attended), attended)  # (N, width)
        return x, lengths

    def _attention(self, weights: nn.Module, x: Tensor, lengths: list[int]) -> Tensor:
        """Self-attention within each text, before the output map: (N, width) -> (N, width)."""
        heads, dropout = self.model.config.num_attention_heads, weights.dropout.p if weights.dropout.training else 0.0
        query, key, value = (
            linear(x).unflatten(-1, (heads, -1)).transpose(0, 1)[None].split(lengths, dim=2)  # B of (1, H, length, width/H)
            for linear in (weights.query, weights.key, weights.value)
        )
        texts = [scaled_dot_product_attention(*qkv, dropout_p=dropout) for qkv in zip(query, key, value, strict=True)]
        return torch.cat(texts, dim=2)[0].transpose(0, 1).flatten(1)  # (1, H, N, width/H) -> (N, width)

    def encode(self, texts: Sequence[str], chunk_size: int = 0) -> Tensor:
        """B strings -> (B, width). Equal strings are encoded once; a frozen encoder remembers what it has read.

        chunk_size  n > 0: n texts at a time, whose activations are not kept (chunks.py)
        """
        unique = list(dict.fromkeys(texts))
        if not unique:
            raise InputError("no text was given: give one or more")
        if self.is_trained:
            features = in_chunks(self, self.model, chunk_size, *self.tokenize(unique).values())  # (U, width)
        else:
            if len(self._kept) > KEPT_TEXTS:
                self._kept.clear()
            new = [text for text in unique if text not in self._kept]
            for start in range(0, len(new), 64):
                with torch.no_grad():
                    chunk = self(**self.tokenize(new[start : start + 64]))
                self._kept.update(zip(new[start : start + 64], chunk, strict=True))
            features = torch.stack([self._kept[text] for text in unique]).to(self.model.device)
        place = {text: i for i, text in enumerate(unique)}
        return features[[place[text] for text in texts]]  # (U, width) -> (B, width)


def whole(text: str) -> str:
    """Half characters (lone surrogates, as of a file name that is no UTF-8) become question marks: no tokenizer takes them."""
    return text.encode("utf-8", "replace").decode()


def published_pooling(hidden_states: Sequence[Tensor]) -> Tensor:
    """Hidden states (layers+1 of (B,L,width), embeddings first) -> mean of layers 1, 2, last, over all L: (B,width)."""
    return torch.stack([hidden_states[1], hidden_states[2], hidden_states[-1]]).mean(dim=(0, 2))


def word_tokenizer(texts: Sequence[str], vocab_size: int = 8000):
    """A lower-casing WordPiece tokenizer whose pieces are the most frequent words of these texts, and all characters.

    Made by counting, so the same texts give the same vocabulary (training WordPiece breaks ties by chance).
    """
    from tokenizers import BertWordPieceTokenizer, Tokenizer
    from transformers import PreTrainedTokenizerFast

    cutter = BertWordPieceTokenizer(lowercase=True)
    clean = [cutter.normalizer.normalize_str(whole(text)) for text in texts]
    words = Counter(word for text in clean for word, _ in cutter.pre_tokenizer.pre_tokenize_str(text))
    characters = sorted({character for word in words for character in word})
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    frequent = sorted(words, key=lambda word: (-words[word], word))[:vocab_size]
    pieces = dict.fromkeys([*special.values(), *characters, *("##" + c for c in characters), *frequent])
    learnt = BertWordPieceTokenizer({piece: i for i, piece in enumerate(pieces)}, lowercase=True)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(learnt.to_str()), **special)
