"""A tiny random Marian model: load, generate, decode, join; and None, with one line, where there is no model."""

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest
import torch

import keepfit_mini as kf
from keepfit_mini import translation
from keepfit_mini.captions import CHINESE, ENGLISH
from keepfit_mini.translation import SIMPLIFIED, split_long, translator

ENGLISH_TEXTS = [text.replace("{", "").replace("}", "") for texts in ENGLISH.values() for text in texts]
CHINESE_TEXTS = [re.sub("{.*?}", "", text) for texts in CHINESE.values() for text in texts]
LIMIT = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A random en-zh model of 16 channels with its two vocabularies of pieces, saved as Marian models are."""
    spm = pytest.importorskip("sentencepiece")
    from transformers import MarianConfig, MarianMTModel, MarianTokenizer

    folder = tmp_path_factory.mktemp("marian")
    pieces = {}
    for name, texts in (("source", ENGLISH_TEXTS), ("target", CHINESE_TEXTS)):
        prefix = str(folder / name)
        spm.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_prefix=prefix, vocab_size=300,
                                       hard_vocab_limit=False, minloglevel=2)  # fmt: skip
        (folder / f"{name}.model").rename(folder / f"{name}.spm")
        processor = spm.SentencePieceProcessor(model_file=str(folder / f"{name}.spm"))
        pieces[name] = [processor.id_to_piece(i) for i in range(3, processor.get_piece_size())]
    names = ["</s>", "<unk>", SIMPLIFIED, *dict.fromkeys(pieces["source"] + pieces["target"]), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: i for i, name in enumerate(names)}))
    tokenizer = MarianTokenizer(str(folder / "source.spm"), str(folder / "target.spm"), str(folder / "vocab.json"),
                                source_lang="en", target_lang="zh", model_max_length=LIMIT)  # fmt: skip
    torch.manual_seed(0)
    config = MarianConfig(vocab_size=len(names), d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
                          decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, pad_token_id=len(names) - 1,
                          max_position_embeddings=LIMIT, eos_token_id=0, bos_token_id=None, forced_eos_token_id=0,
                          decoder_start_token_id=len(names) - 1, init_std=0.5)  # fmt: skip
    tokenizer.save_pretrained(folder)
    MarianMTModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("asked the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def by_hand(folder, text):
    """What the model says to one text, greedily, without generate()."""
    tokenizer, model = translation.load(str(folder), cached=False)
    pad = model.config.pad_token_id
    ids = tokenizer(f"{SIMPLIFIED} {text}", return_tensors="pt")["input_ids"]
    assert ids[0, 0] == 2 and ids[0, -1] == 0
    said = [pad]
    while said[-1] != 0 and len(said) < LIMIT - 1:  # the last place is for the end
        scores = model(input_ids=ids, decoder_input_ids=torch.tensor([said])).logits[0, -1]
        scores[pad] = -torch.inf
        said.append(int(scores.argmax()))
    names = {i: name for name, i in json.loads((folder / "vocab.json").read_text()).items()}
    return "".join(names[i] for i in said if i not in (0, pad)).replace("▁", " ").strip()


def test_it_says_what_the_model_says(folder, no_network, capsys):
    translate = translator("en", "zh", folder, beams=1, batch_size=2)
    capsys.readouterr()  # transformers' bar while it loads
    texts = ["Several hard exudates lie in the macula.", "", "  ", "The optic disc is pale.", "Small red dots."]
    got = translate(texts)
    assert capsys.readouterr() == ("", "")
    assert [bool(text) for text in got] == [True, False, False, True, True]
    assert got[1] == got[2] == ""
    spaced = [re.sub(r"\s|<unk>|⁇", "", by_hand(folder, texts[i])) for i in (0, 3, 4)]
    assert [re.sub(r"\s|<unk>|⁇", "", got[i]) for i in (0, 3, 4)] == spaced  # padded batches change nothing
    assert len(set(spaced)) > 1 and re.search("[\u4e00-\u9fff]", "".join(got))
    assert translate([]) == []
    assert translator("en", "zh", folder, beams=4)(texts[:1])[0]


def test_the_word_for_simplified_chinese_is_only_said_to_a_model_that_knows_it(folder, monkeypatch):
    from transformers import MarianTokenizer

    asked = []
    call = MarianTokenizer.__call__
    monkeypatch.setattr(MarianTokenizer, "__call__", lambda self, text, **k: asked.append(text) or call(self, text, **k))
    translator("en", "zh", folder, beams=1)(["Pale disc."])
    assert asked and all((text if isinstance(text, str) else text[0]) == f"{SIMPLIFIED} Pale disc." for text in asked)
    asked.clear()
    translator("zh", "en", folder, beams=1)(["Pale disc."])
    assert asked and SIMPLIFIED not in str(asked)


def test_a_long_text_is_cut_at_sentences_and_joined(folder):
    translate = translator("en", "zh", folder, beams=1)
    sentences = [text for text in ENGLISH_TEXTS if not re.search("[.!?;] ", text)][:6]
    long = " ".join(sentences)
    tokenizer, model = translation.load(str(folder), cached=False)

    def tokens(text):
        return len(tokenizer(f"{SIMPLIFIED} {text}")["input_ids"])

    assert tokens(long) > model.config.max_position_embeddings
    pieces = list(split_long(long, tokens, LIMIT))
    assert " ".join(pieces) == long and 1 < len(pieces) <= len(sentences)
    assert all(tokens(piece) <= LIMIT for piece in pieces) and translate([long]) == ["".join(translate(pieces))]


def test_pieces_are_as_few_and_as_whole_as_can_be():
    def split(text, limit):
        return list(split_long(text, len, limit))

    assert split("", 5) == [] and split("One. Two.", 9) == ["One. Two."] and split("One. Two.", 8) == ["One.", "Two."]
    assert split("A b. C d. E f.", 9) == ["A b. C d.", "E f."]
    assert split("one two, three four", 12) == ["one two,", "three four"]
    assert split("one two three", 8) == ["one two", "three"] and split("abcdefg", 3) == ["abc", "def", "g"]
    assert split("视盘苍白。血管变细。", 6) == ["视盘苍白。", "血管变细。"]
    assert split("视盘苍白，血管变细", 5) == ["视盘苍白，", "血管变细"]
    assert split("Ratio 0.5 vs. 0.7", 99) == ["Ratio 0.5 vs. 0.7"]


def test_none_where_nothing_is(folder, tmp_path, no_network, monkeypatch, capsys):
    def none(words, *args, **settings):
        assert translator(*args, **settings) is None
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and re.search(words, err), err

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    none("from en to zh: Helsinki-NLP/opus-mt-en-zh cannot be read here .*cache.*: fetch it once", "en", "zh")
    none("from zh to en: Helsinki-NLP/opus-mt-zh-en", "zh", "en")
    none("no such folder.*: give a folder", "en", "zh", folder=tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    none("empty cannot be read here", "en", "zh", folder=tmp_path / "empty")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:500])
    none("broken cannot be read here", "en", "zh", folder=broken)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *a: None if name == "sentencepiece" else find(name, *a))
    none("pip install sentencepiece", "en", "zh", folder=folder)


def test_a_model_in_the_hubs_cache_is_found(folder, tmp_path, no_network, monkeypatch):
    place = tmp_path / "models--Helsinki-NLP--opus-mt-en-zh"
    shutil.copytree(folder, place / "snapshots" / ("a" * 40))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text("a" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    texts = ["The optic disc is pale."]
    assert translator("en", "zh", beams=1)(texts) == translator("en", "zh", folder, beams=1)(texts)


def test_other_languages_are_refused():
    for pair in (("en", "en"), ("en", "de"), ("fr", "zh"), ("", "")):
        with pytest.raises(kf.InputError, match="choose en to zh, or zh to en"):
            translator(*pair)


def test_an_empty_cache_is_no_traceback_in_a_fresh_process(tmp_path):
    """Without the offline switch, which conftest sets for all others."""
    code = "from keepfit_mini.translation import translator; print(translator('en', 'zh'))"
    env = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"} | {"HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and done.stdout == "None\n" and "Traceback" not in done.stderr, done.stderr
    assert "no translation from en to zh" in done.stderr
