"""Which modality a picture is: the paper's way and the measured one, captions, odd pictures."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import keepfit_mini as kf
from keepfit_mini import phantom
from keepfit_mini.modality import MODALITIES, by_clusters, classify, histogram, named


@pytest.fixture(scope="module")
def drawings():
    """18 of each modality: every camera twice, four sizes."""
    return [
        (modality, phantom.draw(modality, [*categories][i % len(categories)], camera, 500 + i, (64, 96, 128, 256)[i % 4]).image)
        for modality, categories in phantom.CATEGORIES.items()
        for i, camera in enumerate(phantom.CAMERAS * 2)
    ]


def share(pairs):
    return np.mean([truth == classify(image)[0] for truth, image in pairs])


def test_histogram_counts_hue_saturation_value():
    found = histogram(Image.new("RGB", (30, 20), (255, 0, 0)))
    assert found.shape == (512,) and found[0 * 64 + 7 * 8 + 7] == 1 and found.sum() == 1
    half = Image.new("RGB", (20, 20), (255, 0, 0))
    half.paste((0, 0, 0), (0, 0, 10, 20))
    assert sorted(histogram(half))[-2:] == pytest.approx([2**-0.5] * 2)


def test_the_papers_way_names_after_the_nearest_reference(drawings):
    references = {name: phantom.draw(name, "normal", "amber", 7, 128).image for name in MODALITIES}
    names, clusters, distances = by_clusters([image for _, image in drawings], references)
    assert distances.shape == (len(drawings), 3) and set(clusters) == {0, 1, 2}
    assert names == [MODALITIES[i] for i in distances.argmin(1)]
    right = np.array([name == truth for name, (truth, _) in zip(names, drawings, strict=True)])
    assert right[:18].mean() > 0.9  # colour is what it sees
    assert by_clusters([references["OCT"]], references)[0] == ["OCT"]
    for nothing in ([[], references], [[references["CFP"]], {}]):
        with pytest.raises(kf.InputError, match="at least one picture and one reference"):
            by_clusters(*nothing)


def test_drawn_pictures_are_named(drawings):
    assert share(drawings) >= 0.98


@pytest.mark.parametrize("how", ["inverted", "false colours", "tinted", "margin", "grey is not FFA"])
def test_as_books_print_them(drawings, how):
    of = {name: [image for truth, image in drawings if truth == name] for name in MODALITIES}
    if how == "inverted":
        assert share([("OCT", ImageOps.invert(image)) for image in of["OCT"]]) >= 0.94
    elif how == "false colours":
        false = [ImageOps.colorize(image.convert("L"), "navy", "yellow", mid="red") for image in of["OCT"]]
        assert share([("OCT", image) for image in false]) >= 0.94
    elif how == "tinted":
        inks = ("#ffeecc", "#ccffdd")
        tinted = [ImageOps.colorize(image.convert("L"), "black", ink) for image in of["FFA"] for ink in inks]
        assert share([("FFA", image) for image in tinted]) >= 0.88
    elif how == "margin":
        assert share([(truth, ImageOps.expand(image, 30, "white")) for truth, image in drawings]) >= 0.98
    else:  # dark vessels: a grey print, or infrared; never an angiogram, and hardly ever sure
        found = [classify(image.convert("L")) for image in of["CFP"]]
        assert np.mean([name in ("CFP", "other") for name, _, _ in found]) >= 0.88
        assert all(sure <= 0.6 for name, sure, _ in found if name in ("CFP", "other"))


ODD = {
    "one pixel": Image.new("RGB", (1, 1)),
    "a line": Image.new("RGB", (500, 1), "red"),
    "black": Image.new("RGB", (90, 90)),
    "white": Image.new("L", (90, 90), 255),
    "clear": Image.new("RGBA", (90, 90), (9, 9, 9, 0)),
    "grey and clear": Image.new("LA", (40, 40)),
    "palette": Image.new("P", (50, 50)),
    "bits": Image.new("1", (50, 50)),
    "sixteen bits": Image.fromarray(np.full((40, 40), 40_000, np.uint16)),
    "floats": Image.fromarray(np.full((40, 40), np.nan, np.float32)),
    "ink": Image.new("CMYK", (40, 40)),
}


@pytest.mark.parametrize("what", ODD)
def test_odd_pictures_are_other(what):
    assert classify(ODD[what])[0] == "other"
    assert np.isfinite(histogram(ODD[what])).all()


def test_noise_never_raises():
    rng = np.random.default_rng(0)
    for size in [(12, 12), (13, 400), (400, 13), (64, 64), (3, 9), (2000, 900)]:
        name, sure, found = classify(Image.fromarray(rng.integers(0, 256, (*size, 3), np.uint8)))
        assert name in (*MODALITIES, "other") and 0 <= sure <= 1 and all(np.isfinite(list(found.values())))


def test_other_modes_mean_the_same_picture():
    scan = phantom.draw("OCT", "normal", None, 3, 128).image
    deep = Image.fromarray(np.asarray(scan.convert("L")).astype(np.uint16) * 257)
    for image in (scan, scan.convert("L"), scan.convert("RGBA"), scan.convert("P"), scan.convert("CMYK"), deep):
        assert classify(image)[0] == "OCT", image.mode


@pytest.mark.parametrize(("text", "name"), [
    ("Fluorescein angiogram, arteriovenous phase", "FFA"), ("Late phase FFA of the left eye", "FFA"),
    ("左眼荧光素血管造影", "FFA"),
    ("OCT shows a full-thickness hole", "OCT"), ("Optical coherence tomography", "OCT"), ("光学相干断层扫描", "OCT"),
    ("Colour fundus photograph", "CFP"), ("Color photo", "CFP"), ("右眼眼底彩照", "CFP"), ("眼底彩色照相", "CFP"),
    ("Indocyanine green angiogram", "other"), ("Red-free photograph", "other"), ("OCT angiography", "other"),
    ("Fundus photograph and fluorescein angiogram", ""), ("A macular hole", ""), ("", ""), ("doctor", ""),
])  # fmt: skip
def test_captions_name_modalities(text, name):
    assert named(text) == name


def test_caption_and_picture_agree_or_are_flagged():
    photograph = phantom.draw("CFP", "normal", "amber", 3, 128).image
    name, alone, _ = classify(photograph)
    assert name == "CFP" and 0.5 < alone <= 1
    assert classify(photograph, "Fundus photograph")[1] >= alone
    assert classify(photograph, "A macular hole")[1] == alone
    for text in ("Fluorescein angiogram", "OCT", "Infrared picture"):
        name, sure, _ = classify(photograph, text)
        assert name == "CFP" and sure < 0.5
    grey = photograph.convert("L")  # unsure alone: the caption decides
    assert classify(grey, "Fundus photograph")[0] == "CFP"
    assert classify(grey, "Infrared picture")[0] == "other"


@pytest.mark.real
def test_real_photographs_and_angiograms():
    folder = os.environ.get("KEEPFIT_DATA")
    if not folder:
        pytest.skip("KEEPFIT_DATA is unset: the folder of the real manifests")
    right = {"CFP": [], "FFA": []}
    for path in sorted(Path(folder).glob("*.csv")):
        if path.name.startswith("mm_retinal"):  # captions without pictures
            continue
        frame = kf.read_manifest(path)
        frame = frame[frame["modality"] != "other"].iloc[1::2].iloc[:70]  # the half on which nothing was chosen
        for truth, image in zip(frame["modality"], frame["image"], strict=True):
            right[truth].append(classify(Image.open(image))[0] == truth)
    assert len(right["CFP"]) > 100 and len(right["FFA"]) > 50
    assert np.mean(right["CFP"]) >= 0.98 and np.mean(right["FFA"]) >= 0.98
