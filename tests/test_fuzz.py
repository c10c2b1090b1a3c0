"""Whatever comes in, it works and the result is sound, or one line says what is wrong, where, and what to do.

`KEEPFIT_FUZZ=full python -m pytest tests/test_fuzz.py` tries many more cases and writes results/fuzz.json.
"""

import dataclasses
import io
import json
import os
import platform
import random
import re
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given
from hypothesis import strategies as st
from PIL import Image

import keepfit_mini as kf
from keepfit_mini.config import MINI_BERT, write_aside
from keepfit_mini.encoders import whole, word_tokenizer
from keepfit_mini.manifests import exclude_categories, fingerprint, keep_share, read_manifest
from keepfit_mini.pictures import MAX_PIXELS, UNREADABLE, fit_square, open_picture, read_picture
from keepfit_mini.prompts import class_prompts, conditions, descriptions, find, mask_names, training_prompt
from keepfit_mini.run_settings import read_configs

FULL = os.environ.get("KEEPFIT_FUZZ") == "full"
CASES = Counter()
MEND = r": .*\b(give|write|save|put|name|add|delete|rename|mend|move|allow|correct|change|use)\b"
VERSIONS = ("torch", "transformers", "tokenizers", "pandas", "numpy", "pillow", "hypothesis")


def many(few: int, lots: int):
    """How many cases; the same ones each time, and nothing of hypothesis's is left on the disk."""
    return hypothesis.settings(
        max_examples=lots if FULL else few, deadline=None, derandomize=True, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def report(request):
    begin, failed = time.perf_counter(), request.session.testsfailed
    yield
    if FULL:
        value = {
            "command": "KEEPFIT_FUZZ=full python -m pytest tests/test_fuzz.py",
            "seconds": round(time.perf_counter() - begin, 1),
            "cases": {name: CASES[name] for name in ("manifests", "captions", "configs", "images")},
            "of which read": {"manifests": CASES["manifests that read"], "images": CASES["images that read"]},
            "failures": request.session.testsfailed - failed,
            "versions": {"python": platform.python_version(), **{name: version(name) for name in VERSIONS}},
        }
        write_aside(Path(__file__).parents[1] / "results" / "fuzz.json", json.dumps(value, indent=2) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz")
    for name in ("a.png", "b c.png", "目.png"):
        Image.new("RGB", (4, 4)).save(path / name)
    return path


def one_line(error, file=None):
    message = str(error)
    assert message == message.strip() and len(message.splitlines()) == 1 and message.isprintable(), ascii(message)
    assert re.search(MEND, message), message
    assert file is None or message.startswith(f"{file}: ") or re.match(rf"{re.escape(str(file))}, row \d+: ", message), message


# --------------------------------------------------------------------------------------------------------- manifests

ANY = st.text(st.characters(exclude_categories=()), max_size=30)  # lone surrogates, NUL, right-to-left, ... as well
IMAGES = st.sampled_from(["a.png", "b c.png", "目.png", " a.png ", "./a.png"])
COLUMNS = ("image", "label", "text", "modality", "caption", "atributes", "categories")
HEADER = st.one_of(st.lists(st.sampled_from([*COLUMNS, "IMAGE", " Label ", "row", "labels", "file", "", '"'])), st.lists(ANY),
                   st.permutations(COLUMNS).map(lambda names: ["image", *(n for n in names if n != "image")][:4]))  # fmt: skip
CELL = st.one_of(
    IMAGES, ANY, st.just(""),
    st.sampled_from(["drusen; normal", "['x', 'y']", "[]", "['\\ud800']", "\0", '"', "'", "../a.png", "/etc/passwd", "[" * 300,
                     "9" * 5000, "x" * 70_000, "{[]: 1}", "f'{1}'", "NaN", "None", "\u202e", "\ufeff", "\x85", "\u2028"]),
)  # fmt: skip
ROW = st.one_of(st.tuples(IMAGES, CELL, CELL, CELL).map(list), st.lists(CELL, max_size=9))
SOUND = st.lists(st.tuples(IMAGES, st.sampled_from(["a", "b;c", "目 ; ", "–"]), ANY.filter(str.strip)).map(list), min_size=1)


@st.composite
def csv_bytes(draw):
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=300))
    sound = draw(st.booleans())
    header, rows = (["image", "label", "text"], draw(SOUND)) if sound else (draw(HEADER), draw(st.lists(ROW, max_size=6)))
    quoted, comma = sound or draw(st.booleans()), "," if sound else draw(st.sampled_from([",", ",", ",", ";", "\t"]))
    lines = [comma.join('"' + c.replace('"', '""') + '"' if quoted else c for c in cells) for cells in (header, *rows)]
    text = draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines)
    before, after = st.sampled_from(["", "", "\ufeff", "\ufeff\ufeff"]), st.sampled_from(["", "\n", "\n\n,,\n", '"', "\0"])
    text = draw(before) + text + draw(after)
    codec = draw(st.sampled_from(["utf-8"] * 6 + ["utf-16", "latin-1", "utf-8-sig"]))
    return text.encode(codec, "surrogatepass" if codec.startswith("utf") else "replace")


@many(500, 4500)
@given(csv_bytes(), st.sampled_from([None, "label", "text"]))
@example(b"image,label\na.png,x\n", "label")
@example(b"image,Image,label\na.png,a.png,x\n", None)
@example(b"image,atributes,categories\na.png,[],{[]: 1}\n", None)
@example(b"image,atributes,categories\na.png,[],['\\ud800']\n", None)
@example(b"\x00\n", None)
def test_manifests(folder, content, need):
    CASES["manifests"] += 1
    path = folder / "m.csv"
    path.write_bytes(content)
    try:
        frame = read_manifest(path, need)
    except kf.InputError as error:
        one_line(error, path)
        about_a_row = re.search(r": (picture|no label:|no text:|the image cell|.* is not a list like)", str(error))
        assert not about_a_row or "found:" in str(error) or re.match(r".*, row \d+: ", str(error)), error
        return
    CASES["manifests that read"] += 1
    assert list(frame.columns) == ["image", "modality", "labels", "attributes", "text", "file", "row"] and len(frame)
    assert all(Path(image).resolve().parent == folder.resolve() for image in frame["image"])
    assert frame["row"].is_monotonic_increasing and frame["row"].is_unique and frame["row"][0] >= 2
    for lists in (frame["labels"], frame["attributes"]):
        assert all(label == label.strip() != "" for labels in lists for label in labels)
    assert need != "label" or all(frame["labels"])
    assert need != "text" or all(frame["text"])
    assert all(frame["modality"]) and (frame["text"] == frame["text"].str.strip()).all()
    assert len(fingerprint(frame)) == 64 and fingerprint(frame) == fingerprint(read_manifest(path, need))
    words = frame["labels"][0][:1]
    assert len(exclude_categories(frame, [w for w in words if "," not in w])) <= len(frame)
    assert set(keep_share(frame, 0.5, 1)["row"]) <= set(frame["row"])


# ---------------------------------------------------------------------------------------------------------- captions

NAMES = [name for canonical, c in conditions().items() for name in (canonical, *c["synonyms"])]
LINKS = st.sampled_from(["with", "due to", "mild", "is", "change", ".", ",", "\u202e", "\n", "\0", "eye"])
WORD = st.one_of(st.sampled_from(NAMES), LINKS, ANY)
OFTEN = st.tuples(WORD, st.integers(1, 400)).map(lambda pair: pair[0] * pair[1])
CAPTION = st.one_of(ANY, st.lists(WORD, max_size=15).map(" ".join), OFTEN)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return kf.KeepFIT(kf.ModelConfig(image_size=16, dim=16, max_tokens=32, text_config=MINI_BERT)).eval()


@many(300, 3000)
@given(CAPTION, st.one_of(st.sampled_from(NAMES), ANY), st.lists(st.one_of(st.sampled_from(NAMES), ANY), max_size=2))
@example("the change is seen", "change", [])
@example("a" * 100_000, "a", ["a change"])
@example(" " * 20_000 + "cataract", "cataract", [])
@example("", "", [""])
@example("\ud800", "\ud800", ["\ud800"])
def test_captions(model, caption, category, extra):
    CASES["captions"] += 1
    masked = mask_names(caption, category, tuple(extra))
    assert isinstance(masked, str)
    known = [name for name in (category, *extra) if find(name)]
    if len(known) == 1 + len(extra):
        assert mask_names(masked, category, tuple(extra)) == masked  # nothing is left to be masked
    try:
        assert 3 <= len(descriptions(category)) <= 6
    except kf.InputError as error:
        one_line(error)
    assert training_prompt(category, caption, random.Random(0)).startswith("A ") and class_prompts(category)
    words = word_tokenizer([caption])
    assert len(words) >= 5 and "[UNK]" not in words.tokenize(whole(caption[:90]))  # longer words are unknown
    assert max(map(len, model.text_encoder.tokenize([caption, ""])["input_ids"])) <= 32
    with torch.no_grad():
        vectors = model.encode_text([caption, category, caption])  # (3, 16)
    assert vectors.shape == (3, 16) and torch.equal(vectors[0], vectors[2])
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


# ----------------------------------------------------------------------------------------------------------- configs

WILD = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 300), st.integers(), st.floats(), ANY,
              st.sampled_from([10**400, 10**4000, 2**63, 1e308, "mean", "experts", "no", "mixed", "revision+mixed", "category"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(ANY, inner, max_size=2)), max_leaves=4,
)  # fmt: skip


def fields(kind):
    return st.dictionaries(st.sampled_from([field.name for field in dataclasses.fields(kind)]), WILD, max_size=3)


@many(400, 2500)
@given(st.sampled_from([kf.ModelConfig, kf.TrainConfig]).flatmap(lambda kind: st.tuples(st.just(kind), fields(kind))))
@example((kf.TrainConfig, {"lr": None}))
@example((kf.TrainConfig, {"exclude_categories": "glaucoma"}))
@example((kf.TrainConfig, {"max_bad": float("nan")}))
@example((kf.TrainConfig, {"seed": True}))
@example((kf.ModelConfig, {"image_mean": [0, 0, 0], "image_std": [1, 1, 1]}))
def test_configs(case):
    CASES["configs"] += 1
    kind, values = case
    try:
        config = kind(**values)
    except kf.InputError as error:
        one_line(error)
        return
    saved = json.loads(json.dumps(dataclasses.asdict(config)))
    assert kind(**saved) == config


JSON = st.one_of(
    WILD.map(lambda value: {"model": value, "train": value}), WILD, st.just({"model": {}, "train": {}}),
    st.tuples(fields(kf.ModelConfig), fields(kf.TrainConfig)).map(lambda f: {"model": f[0], "train": f[1]}),
)  # fmt: skip


def test_a_number_too_long_to_be_printed():
    for values in ({"seed": 10**5000}, {"exclude_categories": [10**5000]}):
        with pytest.raises(kf.InputError, match="far too long: give"):
            kf.TrainConfig(**values)


@many(150, 800)
@given(st.one_of(JSON.map(lambda value: json.dumps(value).encode()), st.binary(max_size=100)))
@example(b"")
@example(b'{"model": {}, "train": {}}')
@example(b'{"model": {"dim": "x"}, "train": {}}')
@example(b'{"model": {"dim": ' + b"9" * 5000 + b'}, "train": {}}')
@example(b'{"model": {"dim": NaN}, "train": {"lr": Infinity}}')
def test_configs_of_a_run(folder, content):
    CASES["configs"] += 1
    (folder / "config.json").write_bytes(content)
    try:
        model, train = read_configs(folder)
    except kf.InputError as error:
        assert str(error).startswith(f"{folder / 'config.json'}: ") and "\n" not in str(error)
        return
    assert isinstance(model, kf.ModelConfig) and isinstance(train, kf.TrainConfig)


# ------------------------------------------------------------------------------------------------------------ images


def picture(mode, width, height):
    noise = np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    if mode == "I;16":
        return Image.fromarray(noise[..., 0].astype(np.uint16) * 200)
    return Image.fromarray(noise).convert(mode)


def save(image, fmt, **settings):
    stream = io.BytesIO()
    image.save(stream, fmt, **settings)
    return stream.getvalue()


MODES = {
    "PNG": ("1", "L", "P", "RGB", "RGBA", "I;16"), "JPEG": ("L", "RGB", "CMYK"), "WEBP": ("RGB", "RGBA"), "GIF": ("P", "L"),
    "TIFF": ("1", "L", "RGB", "CMYK", "I;16", "F", "I"), "BMP": ("1", "L", "P", "RGB"),
}  # fmt: skip
KINDS = st.sampled_from([(fmt, mode) for fmt, modes in MODES.items() for mode in modes])
TURNED = Image.Exif()
TURNED[274] = 6
SEEDS = [(fmt, save(picture(mode, 13, 17), fmt)) for fmt, modes in MODES.items() for mode in modes]
SEEDS += [(fmt, save(picture("RGB", 13, 17), fmt, exif=TURNED)) for fmt in ("PNG", "JPEG", "WEBP")]
SEEDS += [(fmt, save(picture("RGB", 9, 9), fmt, save_all=True, append_images=[picture("RGB", 9, 9).rotate(9)]))
          for fmt in ("PNG", "WEBP", "GIF", "TIFF")]  # fmt: skip


@st.composite
def broken(draw):
    data = bytearray(draw(st.sampled_from(SEEDS))[1])
    for _ in range(draw(st.integers(1, 5))):
        place = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([30, 120, 10**6])))))
        change = draw(st.sampled_from(["set", "set", "cut", "insert"]))
        if change == "set":
            data[place] = draw(st.integers(0, 255))
        elif change == "insert":
            data[place:place] = draw(st.binary(min_size=1, max_size=20))
        else:
            del data[place : place + draw(st.integers(1, 10**6))]
        if not data:
            break
    return bytes(data)


def reads_or_is_refused(path):
    try:
        with open_picture(path) as opened:
            assert 0 < opened.width * opened.height <= MAX_PIXELS
            if opened.width * opened.height > 10**6:  # a megapixel of rubble costs seconds
                return False
        pixels = read_picture(path)
    except UNREADABLE as error:
        assert str(error)
        return False
    assert pixels.dtype == torch.uint8 and pixels.shape[0] == 3 and pixels.numel()
    square = fit_square(pixels, 16)
    CASES["images that read"] += 1
    assert square.shape == (3, 16, 16) and square.min() >= 0 and square.max() <= 1 + 1e-6
    return True


@many(400, 1500)
@given(broken())
@example(b"")
def test_broken_images(folder, recwarn, data):
    CASES["images"] += 1
    (folder / "x").write_bytes(data)
    reads_or_is_refused(folder / "x")
    assert not recwarn.list


SIZES = st.one_of(st.tuples(st.just(1), st.integers(1, 3000)), st.tuples(st.integers(1, 60), st.integers(1, 60)))


@many(80, 300)
@given(KINDS, SIZES, st.booleans())
def test_odd_images(folder, recwarn, kind, size, wide):
    CASES["images"] += 1
    fmt, mode = kind
    (folder / "x").write_bytes(save(picture(mode, *(size[::-1] if wide else size)), fmt))
    assert reads_or_is_refused(folder / "x")
    assert not recwarn.list
