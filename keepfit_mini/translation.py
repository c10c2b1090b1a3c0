"""English <-> Chinese for captions that lack one language (paper section 2, step 4): a Marian model that lies on this machine.

Nothing is downloaded here: the model is in a folder, or in the hub's cache because somebody fetched it on purpose. Where there
is none, the answer is None and one line on stderr, and the manifest's column stays empty. Not about: whether a translation is
right (a person checks it), and which rows need one (atlas.py).
"""

from __future__ import annotations

import importlib.util
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from tqdm.auto import tqdm

from .config import InputError

MODELS = {("en", "zh"): "Helsinki-NLP/opus-mt-en-zh", ("zh", "en"): "Helsinki-NLP/opus-mt-zh-en"}
SIMPLIFIED = ">>cmn_Hans<<"  # the en-zh model writes several kinds of Chinese; a word at the start chooses
# where a text that is too long is cut: after sentences, else after clauses, else between words, else anywhere
CUTS = (r"(?<=[.!?;])\s+|(?<=[。！？；])", r"(?<=[,:])\s+|(?<=[，、：])", r"\s+", r"(?<=.)(?=.)")
Translate = Callable[[list[str]], list[str]]


def translator(
    source: str, target: str, folder: str | Path | None = None, beams: int = 4, batch_size: int = 16, progress: bool = False
) -> Translate | None:
    """A function texts -> translations, as many and in the same order; or None, where no model can be read, and a line why.

    source, target  "en", "zh", or the other way round. InputError: anything else
    folder  of a Marian model and its tokenizer; None: the hub's cache is asked for the one in MODELS
    beams   1 takes the likeliest token each time; more are slower and mostly better
    An empty text stays empty. One that is longer than the model's limit is cut at ends of sentences and joined again.
    """
    if (source, target) not in MODELS:
        raise InputError(f"no translation from {source!r} to {target!r}: choose en to zh, or zh to en")
    where = MODELS[source, target] if folder is None else str(folder)
    if importlib.util.find_spec("sentencepiece") is None:
        return nothing(source, target, "Marian models need the package sentencepiece: pip install sentencepiece")
    try:
        tokenizer, model = load(where, folder is None)
    except Exception as error:  # OSError, ValueError, KeyError, SafetensorError, ...: whatever is not as it says
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        mend = "fetch it once (hf download)" if folder is None else "give a folder that holds a Marian model and its tokenizer"
        return nothing(source, target, f"{where} cannot be read here ({reason}): {mend}")
    prefix = SIMPLIFIED if target == "zh" and SIMPLIFIED in tokenizer.supported_language_codes else ""
    limit = min(model.config.max_position_embeddings, tokenizer.model_max_length)

    def tokens(text: str) -> int:
        return len(tokenizer(f"{prefix} {text}" if prefix else text)["input_ids"])

    @torch.inference_mode()
    def translate_batch(texts: list[str]) -> list[str]:
        batch = tokenizer([f"{prefix} {text}" if prefix else text for text in texts], return_tensors="pt", padding=True)
        # the limit is the same for all: a translation must not depend on what else is in its batch
        out = model.generate(**batch.to(model.device), num_beams=beams, do_sample=False, max_length=limit)
        # transformers decodes with the source's pieces unless told otherwise
        return tokenizer.batch_decode(out, skip_special_tokens=True, use_source_tokenizer=False)

    def translate(texts: list[str]) -> list[str]:
        pieces = [(i, piece) for i, text in enumerate(texts) for piece in split_long(text.strip(), tokens, limit)]
        order = sorted(range(len(pieces)), key=lambda k: -len(pieces[k][1]))  # alike lengths together: little padding
        done = [""] * len(pieces)
        for start in tqdm(range(0, len(order), batch_size), desc=f"translate {source} to {target}", disable=not progress):
            chosen = order[start : start + batch_size]
            for k, text in zip(chosen, translate_batch([pieces[k][1] for k in chosen]), strict=True):
                done[k] = text.strip()
        parts: list[list[str]] = [[] for _ in texts]
        for (i, _), text in zip(pieces, done, strict=True):
            parts[i].append(text)
        return [("" if target == "zh" else " ").join(part) for part in parts]

    return translate


def nothing(source: str, target: str, why: str) -> None:
    print(f"no translation from {source} to {target}: {why}", file=sys.stderr)


def load(where: str, cached: bool):
    """Tokenizer and model, on the GPU where there is one, from a folder or (cached) from the hub's cache; never from the net."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError
    from transformers import MarianMTModel, MarianTokenizer

    if cached:
        try:
            where = snapshot_download(where, local_files_only=True)
        except LocalEntryNotFoundError as error:
            raise OSError("not in the hub's cache") from error
    elif not Path(where).is_dir():  # else it would be taken for a name on the hub
        raise OSError("no such folder")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # recommends sacremoses, which only evens out quotation marks
        tokenizer = MarianTokenizer.from_pretrained(where, local_files_only=True)
    model = MarianMTModel.from_pretrained(where, local_files_only=True)
    return tokenizer, model.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def split_long(text: str, tokens: Callable[[str], int], limit: int, cuts: tuple[str, ...] = CUTS) -> Iterator[str]:
    """Pieces of at most `limit` tokens, as few as can be; nothing for an empty text."""
    if not text:
        return
    if tokens(text) <= limit or not cuts:
        yield text
        return
    ends = [match.end() for match in re.finditer(cuts[0], text)]
    parts = [text[a:b] for a, b in zip([0, *ends], [*ends, len(text)], strict=True) if a < b]
    held = ""
    for part in parts:
        if held and tokens((held + part).strip()) > limit:
            yield from split_long(held.strip(), tokens, limit, cuts[1:])
            held = ""
        held += part
    yield from split_long(held.strip(), tokens, limit, cuts[1:])
