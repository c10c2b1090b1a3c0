"""KeepFIT: two encoders, their projections, text revision and one temperature (paper figure 2).

    V = encode_image(pixels), T = encode_text(texts)          all that is used after pretraining
    model(public, expert, variant) -> loss                    what pretraining minimises

Not about: how batches are made (data.py) or weights change (trainer.py).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin, snapshot_download
from torch import Tensor, nn

from .chunks import in_chunks
from .config import InputError, ModelConfig, write_aside
from .encoders import ImageEncoder, Projection, TextEncoder, word_tokenizer
from .gather import join_lists, join_rows
from .mixed_loss import mixed_loss, soft_targets
from .prompts import conditions
from .text_revision import TextFusion, TextRevision
from .weights import from_source, hub_reachable, load_state, save_state

MAX_LOG_SCALE = 4.6052  # ln 100: the temperature never falls under 0.01


class KeepFIT(nn.Module, PyTorchModelHubMixin, library_name="keepfit_mini", tags=["retina", "clip", "keepfit"]):
    """The model of the paper.

    config      what to build
    pretrained  True fetches the weights that config names (ImageNet, MiniLM, ...); False leaves them random
    texts       what a "bert-mini" learns its vocabulary from, beside the built-in descriptions of conditions
    tokenizer   one that is already there; overrides texts
    """

    def __init__(self, config: ModelConfig | None = None, pretrained: bool = True, texts: Sequence[str] = (), tokenizer=None):
        super().__init__()
        config = dataclasses.replace(config or ModelConfig())
        if config.text_encoder == "bert-mini" and tokenizer is None:
            known = [t for name, entry in conditions().items() for t in (name, *entry["descriptions"])]
            tokenizer = word_tokenizer([*known, *texts])
            config.text_config = {**config.text_config, "vocab_size": len(tokenizer)}
        self.image_encoder = ImageEncoder(config, pretrained)
        self.text_encoder = TextEncoder(config, pretrained, tokenizer)
        config.text_config = bert_settings(self.text_encoder.model.config)
        self.config = config
        self.image_projection = Projection(self.image_encoder.width, config.dim)
        self.text_projection = Projection(self.text_encoder.width, config.dim)
        self.text_revision = TextRevision(config.dim, config.heads, config.dropout, config.normalize_over)
        self.text_fusion = TextFusion(config.dim, config.dropout, config.normalize_over) if config.fusion else None
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        self.chunk_size = 0  # TrainConfig.chunk_size, while it trains

    @property
    def scale(self) -> Tensor:
        """s = exp(a), the multiplier of every cosine similarity; a scalar."""
        return self.logit_scale.exp()

    def clamp_scale(self) -> None:
        """Keep a in [0, 4.6052]; called after each step."""
        self.logit_scale.data.clamp_(0, MAX_LOG_SCALE)

    def encode_image(self, pixels: Tensor) -> Tensor:
        """(B,3,H,W) in [0,1], taken as given (no resize) -> V (B,D), length one."""
        return self.image_projection(self.image_encoder(pixels))

    def encode_text(self, texts: Sequence[str]) -> Tensor:
        """B strings -> T (B,D), length one. Equal strings are encoded once."""
        return self.text_projection(self.text_encoder.encode(texts))

    def encode_tokens(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Token numbers and mask, (B,L) each -> T (B,D), length one."""
        return self.text_projection(self.text_encoder(input_ids, attention_mask))

    def forward(
        self, public: dict, expert: dict | None, variant: str, weight: float | None = None, targets: str = "category"
    ):
        """One mixed batch -> total loss, {"public", "expert", "revision"}. Batches as data.collate makes them.

        targets  of the public loss: "category" (same category attracts) or "identity" (plain CLIP)
        """
        image, text = self._encode(public)  # (B, D), (B, D)
        expert_image, expert_text = self._encode(expert) if expert else (None, None)  # (M, D), (M, D)
        image, text, expert_image, expert_text = join_rows(image, text, expert_image, expert_text)  # B, M over all processes
        # identity: each row is its own category
        names = join_lists(public["category"]) if targets == "category" else range(len(image))
        targets = soft_targets(names).to(image.device)  # (B, B)
        return mixed_loss(
            variant, image, text, expert_image, expert_text, self.scale, targets,
            revision=self.text_revision, fusion=self.text_fusion, weight=weight,
        )  # fmt: skip

    def _encode(self, batch: dict) -> tuple[Tensor, Tensor]:
        encoder = self.image_encoder
        if "activation" in batch:  # the frozen stages were computed beforehand
            features = in_chunks(lambda x: encoder.trained(x.float()), encoder, self.chunk_size, batch["activation"])
        else:
            features = in_chunks(encoder, encoder, self.chunk_size, batch["image"])
        return self.image_projection(features), self.text_projection(self.text_encoder.encode(batch["text"], self.chunk_size))

    # ------------------------------------------------------------------------------------------------ save and load

    def save_weights(self, folder: Path) -> None:
        """config.json (what else it says stays), tokenizer/ and, last, the weights: until then it is no finished model."""
        path = folder / "config.json"
        saved = json.loads(path.read_text()) if path.is_file() else {}
        write_aside(path, json.dumps({**saved, "model": dataclasses.asdict(self.config)}, indent=2) + "\n")
        if self.text_encoder.tokenizer is not None:
            self.text_encoder.tokenizer.save_pretrained(folder / "tokenizer")
        save_state(self, folder / "model.safetensors")

    _save_pretrained = save_weights  # what save_pretrained and push_to_hub of huggingface_hub call

    @classmethod
    def from_pretrained(cls, name: str | Path, **kwargs) -> KeepFIT:
        """A model from a run folder, a folder of save_pretrained, or a hub name. InputError: nothing whole is there."""
        if Path(name).is_dir():
            return cls._from_pretrained(model_id=str(name), **kwargs)
        if not hub_reachable():
            raise InputError("no such folder, and the hub cannot be reached: give the folder of a finished run", name)
        return super().from_pretrained(str(name), **kwargs)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, revision=None, cache_dir=None, force_download=False, token=None,
                         local_files_only=False, map_location="cpu", **_) -> KeepFIT:  # fmt: skip
        folder = Path(model_id)
        if not folder.is_dir():
            folder = Path(downloaded(
                model_id, revision=revision, cache_dir=cache_dir, force_download=force_download, token=token,
                local_files_only=local_files_only, allow_patterns=["config.json", "model.safetensors", "tokenizer/*"],
            ))  # fmt: skip
        for name in ("config.json", "model.safetensors"):
            if not (folder / name).is_file():
                raise InputError(f"no {name} there: give a finished run, or finish it with pretrain --resume", folder)
        try:
            config = ModelConfig(**json.loads((folder / "config.json").read_text())["model"])
        except InputError as error:
            raise InputError(str(error), folder / "config.json") from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError("not the config.json of a keepfit_mini model: restore it", folder / "config.json") from error
        tokenizer = None
        if config.text_encoder == "bert-mini" and not (folder / "tokenizer").is_dir():
            raise InputError("no folder tokenizer/ there: copy it from where the model was saved", folder)
        if (folder / "tokenizer").is_dir():
            from transformers import AutoTokenizer

            tokenizer = from_source(AutoTokenizer, str(folder / "tokenizer"))
        try:
            model = cls(config, pretrained=False, tokenizer=tokenizer)
        except (ValueError, KeyError, TypeError, RuntimeError, ArithmeticError) as error:  # numbers that make no network
            if isinstance(error, InputError):
                raise
            reason = " ".join(str(error).split())[:160]
            raise InputError(f"describes no model that can be built ({reason}): restore it", folder / "config.json") from error
        load_state(model, folder / "model.safetensors", str(map_location))
        return model.eval()


def make_exact(model: KeepFIT) -> None:
    """No dropout anywhere and batch norm on running statistics: what is left does not depend on how a batch is cut."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        if isinstance(getattr(module, "dropout_prob", None), float):  # attention in older versions of transformers
            module.dropout_prob = 0.0
    model.image_encoder.batch_norm = "running"


def downloaded(name: str, **settings) -> str:
    """Folder of a hub repository; InputError where there is none."""
    try:
        return snapshot_download(name, **settings)
    except Exception as error:  # not there, gated, offline, ...: huggingface_hub has an error class for each
        reason = " ".join(str(error).split())[:160]
        raise InputError(f"no such folder, and no such model on the hub ({reason}): correct the name", name) from error


def bert_settings(config) -> dict:
    """What of a BertConfig decides the architecture, as plain JSON."""
    names = (
        "vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act",
        "hidden_dropout_prob", "attention_probs_dropout_prob", "max_position_embeddings", "type_vocab_size",
        "layer_norm_eps", "pad_token_id",
    )  # fmt: skip
    return {name: getattr(config, name) for name in names}
