"""Angiograms that describe themselves: several pictures of an eye -> a report (paper section 3.4, the FFA-IR task).

    pictures --KeepFIT's image encoder--> patches of all views --Transformer encoder--> memory (N, P, D)
    memory, words so far --Transformer decoder--> the next word

The image encoder comes from a pretrained KeepFIT, or is random; it goes on learning at a rate of its own. Not about: the
layers (report_decoder.py), which word is taken (report_search.py), training (report_training.py).

As published, the patches are averaged over the views ("mean"), which forgets their order. So views are kept apart by default,
each with a mark of its turn: the first, ..., the last. From the mean findings are named as well, but place and severity are right
less often (results/report_writers.json).

Symbols: N studies, V views of one, P patches (places of the encoder's last stage, of one view or of all), D width, L words.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .config import InputError, ModelConfig, check_types, write_aside
from .encoders import ImageEncoder
from .model import KeepFIT
from .pictures import UNREADABLE, read_square
from .report_decoder import EncoderLayer, ReportDecoder
from .report_search import Written, search
from .report_tags import TagHead
from .report_vocabulary import Vocabulary
from .weights import load_state, save_state

CONFIG, WEIGHTS, WORDS = "config.json", "model.safetensors", "vocabulary.json"


@dataclass
class ReportConfig:
    """What writes. The defaults are small; PAPER is as published (section 3.4: d 512, 8 heads, 3 layers).

    language   "en": words; "zh": characters          min_count  a word must be seen so often in the training reports
    limit      words a report at most (zh: characters, of which 6% of the drawn reports have more than 90, none more than 120)
    views      pictures a study at most, evenly spaced in time
    block      no run of so many words is written twice (published: 3); 0: may. A third of the drawn reports repeat a trigram
               themselves ("in the late phase"); what the rule costs stands in results/report_writers.json
    joined     "apart": the decoder sees each view's patches; "mean": their average over the views (as published)
    """

    language: str = "en"
    dim: int = 128
    heads: int = 4
    encoder_layers: int = 1
    layers: int = 2
    dropout: float = 0.0
    min_count: int = 3
    limit: int = 90
    views: int = 8
    block: int = 0
    joined: str = "apart"

    def __post_init__(self):
        check_types(self)
        if self.language not in ("en", "zh"):
            raise InputError(f"language is {self.language!r}: give 'en' or 'zh'")
        if self.joined not in ("apart", "mean"):
            raise InputError(f"joined is {self.joined!r}: give 'apart' or 'mean'")
        for name in ("dim", "heads", "layers", "min_count", "limit", "views"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}: give a whole number of 1 or more")
        if self.block < 0:
            raise InputError(f"block is {self.block}: give a whole number of 0 or more")
        if self.encoder_layers < 0 or self.dim % self.heads or not 0 <= self.dropout < 1:
            raise InputError(f"encoder_layers {self.encoder_layers} must be 0 or more, dim {self.dim} a multiple of heads "
                             f"{self.heads}, dropout {self.dropout} a share under 1")  # fmt: skip


PAPER = ReportConfig(dim=512, heads=8, encoder_layers=3, layers=3, dropout=0.1, block=3, joined="mean")


class ReportModel(nn.Module):
    """Pictures -> memory -> words.

    model_config  of the KeepFIT whose image encoder this has; pretrained: fetch the weights that it names (ImageNet)
    """

    def __init__(self, config: ReportConfig, model_config: ModelConfig, vocabulary: Vocabulary, pretrained: bool = False):
        super().__init__()
        self.config, self.model_config, self.vocabulary = config, model_config, vocabulary
        self.image_encoder = ImageEncoder(model_config, pretrained)
        self.patch = nn.Linear(self.image_encoder.width, config.dim)
        self.place = nn.Parameter(torch.randn(self.patches, config.dim) * config.dim**-0.5)
        self.time = nn.Parameter(torch.randn(config.views, config.dim) * config.dim**-0.5) if config.joined == "apart" else None
        self.layers = nn.ModuleList(
            EncoderLayer(config.dim, config.heads, config.dropout) for _ in range(config.encoder_layers)
        )
        self.norm = nn.LayerNorm(config.dim)
        self.decoder = ReportDecoder(
            len(vocabulary), config.dim, config.heads, config.layers, config.dropout, config.limit
        )  # fmt: skip
        self.tag_head = TagHead(1 if self.time is None else config.views, self.patches, config.dim)

    @property
    def patches(self) -> int:
        """P, of a picture of the config's size."""
        if not hasattr(self, "_patches"):
            training, size = self.image_encoder.training, self.model_config.image_size
            with torch.no_grad():
                self._patches = self.image_encoder.eval().maps(torch.zeros(1, 3, size, size))[0, 0].numel()
            self.image_encoder.train(training)
        return self._patches

    def look(self, pixels: Tensor, views: Sequence[int]) -> tuple[Tensor, Tensor]:
        """All views of N studies one after the other (sum of views,3,S,S) in [0,1], views of each -> patches (N,P,D), seen (N,P).

        seen is False, and the patch 0, where a study has fewer views than another; with views joined by their mean, P is that
        of one view. InputError: more views of a study than config.views."""
        if max(views) > self.config.views:
            raise InputError(f"{max(views)} views of one study, but the model takes {self.config.views}: see chosen_views")
        maps = self.image_encoder.maps(pixels).flatten(2).transpose(1, 2)  # (sum of views, places, width)
        parts = (self.patch(maps) + self.place).split(list(views))
        if self.time is None:
            x = torch.stack([part.mean(0) for part in parts])  # (N, P, D)
            return x, torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        rows = [(part + self.time[spaced(len(part), len(self.time)), None]).flatten(0, 1) for part in parts]  # (V places, D)
        x = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        length = torch.tensor([len(row) for row in rows], device=x.device)
        return x, torch.arange(x.shape[1], device=x.device) < length[:, None]

    def remember(self, x: Tensor, seen: Tensor) -> Tensor:
        """Patches -> memory (N,P,D): each has looked at the others."""
        for layer in self.layers:
            x = layer(x, seen)
        return self.norm(x)

    def encode(self, pixels: Tensor, views: Sequence[int]) -> tuple[Tensor, Tensor]:
        """As `look` -> memory (N,P,D), seen (N,P): what the decoder reads."""
        x, seen = self.look(pixels, views)
        return self.remember(x, seen), seen

    def forward(self, pixels: Tensor, views: Sequence[int], words: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher forcing: words (N,L) from BEGIN on -> logits of the word after each (N,L,W), logits of the tags (N,F)."""
        x, seen = self.look(pixels, views)
        turns = [[0] if self.time is None else spaced(count, self.config.views) for count in views]
        tag_logits = self.tag_head(x, turns)
        return self.decoder(words, self.remember(x, seen), seen), tag_logits

    # ------------------------------------------------------------------------------------------------ save and load

    def save(self, folder: Path) -> None:
        """config.json (what else it says stays), vocabulary.json and, last, the weights."""
        path = folder / CONFIG
        saved = json.loads(path.read_text()) if path.is_file() else {}
        settings = {"model": dataclasses.asdict(self.model_config), "report": dataclasses.asdict(self.config)}
        write_aside(path, json.dumps({**saved, **settings}, indent=2) + "\n")
        write_aside(folder / WORDS, json.dumps(self.vocabulary.words, ensure_ascii=False) + "\n")
        save_state(self, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: str | Path) -> ReportModel:
        """A finished run of train_reports. InputError: nothing whole is there, or a run that writes no reports."""
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError("no such run: give the folder that train-reports wrote", folder)
        for name in (CONFIG, WEIGHTS):
            if not (folder / name).is_file():
                raise InputError(f"no {name} there: give a finished run of train-reports", folder)
        if not (folder / WORDS).is_file():
            raise InputError("is no run that writes reports: make one from it with `train-reports --encoder`", folder)
        try:
            settings = json.loads((folder / CONFIG).read_text())
            config, model_config = ReportConfig(**settings["report"]), ModelConfig(**settings["model"])
            vocabulary = Vocabulary(json.loads((folder / WORDS).read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"config.json or vocabulary.json is not a report run's ({error}): restore it", folder) from error
        model = cls(config, model_config, vocabulary)
        load_state(model, folder / WEIGHTS, mend="train again")
        return model.eval()


def start_from(model: ReportModel, keepfit: KeepFIT) -> None:
    """Take over a pretrained image encoder: what is compared in the paper's table 2b."""
    model.image_encoder.load_state_dict(keepfit.image_encoder.state_dict())


def spaced(count: int, among: int) -> list[int]:
    """`count` of the numbers 0 .. among - 1, evenly spaced, the first and the last among them; one alone: the middle one."""
    if count == 1:
        return [among // 2]
    return [round(i * (among - 1) / (count - 1)) for i in range(count)]


def chosen_views(images: Sequence[Path], most: int) -> list[Path]:
    """At most `most` of a study's pictures, evenly spaced, the first and the last among them."""
    return list(images) if len(images) <= most else [images[i] for i in spaced(most, len(images))]


def read_views(images: Sequence[Path], size: int) -> Tensor:
    """Pictures of a study -> (V,3,S,S) uint8. InputError: one does not decode."""
    pixels = []
    for image in images:
        try:
            pixels.append(read_square(image, size))
        except UNREADABLE as error:
            raise InputError(f"no readable picture ({error}): give a JPEG, PNG or TIFF, or leave this view out", image) from error
    return torch.stack(pixels)


@torch.inference_mode()
def write_reports(
    model: ReportModel, studies: Sequence[Sequence[Path]], width: int = 3, batch_size: int = 32, progress: bool = True
) -> tuple[list[str], list[Written]]:
    """Pictures of each study -> its report, and how it was found (report_search.py); width 1 writes greedily.

    InputError: a study without a picture, or a picture that does not decode."""
    model.eval()
    device = next(model.parameters()).device
    for number, images in enumerate(studies, 1):
        if not images:
            raise InputError(f"study {number} has no picture: give one or more, or leave it out")
    found: list[Written] = []
    bar = tqdm(total=len(studies), desc="writing", unit="report", disable=not progress)
    with bar:
        for start in range(0, len(studies), batch_size):
            part = [chosen_views(images, model.config.views) for images in studies[start : start + batch_size]]
            pixels = torch.cat([read_views(images, model.model_config.image_size) for images in part])
            memory, seen = model.encode(pixels.to(device).float() / 255, [len(images) for images in part])
            found += search(model.decoder, memory, seen, model.config.limit, width, model.config.block)
            bar.update(len(part))
    return [model.vocabulary.decode(report.words) for report in found], found
