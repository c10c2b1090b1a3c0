"""What an atlas's picture is: CFP (colour photograph), FFA (angiogram), OCT (cross section) or other (paper section 2, step 3).

Two ways. `by_clusters` is the paper's: HSV histograms, K-means, the distance to one reference picture each; it needs many
pictures at once and sees nothing but colour. `classify` takes one picture at a time and asks what a reader would: do layers
run across it? are there colours, or one ink? are the thin lines brighter than what is round them, or darker?
Not about: cutting pictures out of pages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image
from scipy import ndimage
from sklearn.cluster import KMeans

from .config import InputError

MODALITIES = ("CFP", "FFA", "OCT")
SIDE = 144  # pixels on the longer side: a vessel is still a line, and a picture takes milliseconds


def as_rgb(image: Image.Image) -> Image.Image:
    """Any mode -> RGB: 16 bits brought down to 8 (Pillow would make them white), what is transparent laid on white paper."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.nan_to_num(np.asarray(image, np.float32))
        top = values.max(initial=0)
        image = Image.fromarray((values * (255 / top if top > 255 or 0 < top <= 1 else 1)).clip(0, 255).astype(np.uint8))
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("RGB")


def shrink(image: Image.Image, side: int = SIDE) -> Image.Image:
    """RGB, at most `side` pixels wide and high; a smaller one stays as it is."""
    if image.mode == "RGB" and max(image.size) > 4 * side:
        image = image.reduce(max(image.size) // (2 * side))  # quick and rough, then well
    image = as_rgb(image)
    scale = side / max(image.size)
    return image if scale >= 1 else image.resize([max(1, round(n * scale)) for n in image.size], Image.BILINEAR, reducing_gap=2.0)


# The paper's way


def histogram(image: Image.Image) -> np.ndarray:
    """The share of pixels in each of 8 x 8 x 8 boxes of hue, saturation and value: (512,) float64, of length 1."""
    pixels = np.asarray(shrink(image, 256).convert("HSV")).reshape(-1, 3) // 32
    counts = np.bincount(pixels @ np.array([64, 8, 1]), minlength=512).astype(float)
    return counts / np.linalg.norm(counts)


def by_clusters(
    images: Sequence[Image.Image], references: Mapping[str, Image.Image], seed: int = 0
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The paper's step 3: a name for each of N pictures -> names, clusters (N,) int, distances (N, len(references)).

    K-means (k=3, or N if fewer) on the histograms; each picture is named after the reference whose histogram is nearest.
    The paper does not say what the clusters decide; here they are given back beside the names, for a person to compare.
    references  one picture for each modality. InputError: no picture, or no reference.
    """
    if not images or not references:
        raise InputError("modality: at least one picture and one reference are needed: name them")
    rows = np.stack([histogram(image) for image in images])
    clusters = KMeans(min(3, len(np.unique(rows, axis=0))), n_init=10, random_state=seed).fit_predict(rows)
    known = np.stack([histogram(image) for image in references.values()])
    distances = np.linalg.norm(rows[:, None] - known[None], axis=2)
    return [list(references)[i] for i in distances.argmin(1)], clusters, distances


# The better way


def trimmed(pixels: np.ndarray) -> np.ndarray:
    """(H,W,3) without margins of paper: rows and columns at the edge that are nearly white all along."""
    paper = pixels.min(2) > 225
    rows, columns = (np.flatnonzero(paper.mean(axis) < 0.97) for axis in (1, 0))
    if not len(rows) or not len(columns):
        return pixels
    inner = pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cut = min(2, *(n // 8 for n in inner.shape[:2])) if inner.shape != pixels.shape else 0  # the blur of the margin's edge
    return inner[cut : inner.shape[0] - cut, cut : inner.shape[1] - cut]


def retina(grey: np.ndarray) -> tuple[np.ndarray, bool]:
    """(H,W) -> the pixels well inside the round field (H,W) bool, and whether there is a field on a border of its own."""
    high, wide = grey.shape
    n = max(1, min(high, wide) // 16)
    corners = [grey[y, x].mean() for y in (slice(n), slice(-n, None)) for x in (slice(n), slice(-n, None))]
    border = float(np.median(corners))
    soft = ndimage.gaussian_filter(grey, min(high, wide) / 100)
    spread = float(np.percentile(np.abs(soft - border), 90))
    lit = np.abs(soft - border) > max(4.0, 0.15 * spread)
    # From the first lit pixel to the last, in rows and in columns: dark lesions do not make holes.
    across = np.maximum.accumulate(lit, 1) & np.maximum.accumulate(lit[:, ::-1], 1)[:, ::-1]
    down = np.maximum.accumulate(lit, 0) & np.maximum.accumulate(lit[::-1], 0)[::-1]
    inside = across & down
    at_corners = np.mean([inside[y, x].mean() for y in (slice(n), slice(-n, None)) for x in (slice(n), slice(-n, None))])
    field = bool(inside.mean() > 0.35 and at_corners < 0.4 and np.ptp(corners) < 30)
    if not field:
        inside = np.ones_like(inside)
    margin = max(1, round(0.07 * min(high, wide)))
    near = np.pad(inside, 1, constant_values=not field)  # a tight picture's own edge is no border
    return (ndimage.distance_transform_cdt(near) > margin)[1:-1, 1:-1] if field else inside, field


def steepness(grey: np.ndarray, inside: np.ndarray) -> float:
    """The share of the gradients' energy that runs down the picture, 0..1."""
    down, across = (float((g[inside] ** 2).sum()) + 1e-6 for g in np.gradient(grey))
    return down / (down + across)


def likeness(grey: np.ndarray, inside: np.ndarray, strips: int = 12) -> float:
    """-1..1: how much the brightness going down one upright strip is that of the next: layers go on, vessels do not."""
    edges = np.linspace(0, grey.shape[1], strips + 1).astype(int)
    parts = [(grey[:, a:b], inside[:, a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    profiles = [((part * mask).sum(1) / np.maximum(mask.sum(1), 1), mask.any(1)) for part, mask in parts]
    alike = energy = 1e-6
    for (one, seen), (other, seen_too) in zip(profiles[:-1], profiles[1:], strict=True):
        both = seen & seen_too
        if both.sum() > 8:
            one, other = one[both] - one[both].mean(), other[both] - other[both].mean()
            alike, energy = alike + one @ other, energy + (one @ one + other @ other) / 2
    return float(alike / energy)


def measure(image: Image.Image) -> dict[str, float]:
    """Properties of one picture, without unit; {"plain": 1.0} alone where nothing can be seen (tiny, or of one colour):

    field    1: a lit field on a plain border; what follows is measured well inside it, else over the whole picture
    layers   1: brightness changes going down only, and alike from left to right (the mean of `steepness` at two scales and
             half of `likeness`); about 0.5 = no direction
    spread   colours that are left when one ink (a curve from dark to light) is taken away, over the brightness
    warm     how much redder than blue, over the brightness
    foreign  share of pixels in colours that no fundus has: neither grey nor red > green > blue
    lines    -1..1: thin lines brighter (+) or darker (-) than what is round them
    spot     the strongest spot as large as an optic disc is brighter (+) or darker (-) than what is round it
    flat     share of pixels that equal their neighbours, as in a diagram
    paper    share of pixels nearly white
    """
    pixels = trimmed(np.asarray(shrink(image, 4 * SIDE)))  # the margin first, or a small picture on wide paper gets smaller
    pixels = np.asarray(shrink(Image.fromarray(np.ascontiguousarray(pixels))), np.float32)
    high, wide = pixels.shape[:2]
    grey = pixels @ np.float32([0.299, 0.587, 0.114])
    if min(high, wide) < 12 or np.ptp(grey) < 8:
        return {"plain": 1.0}
    inside, field = retina(grey)
    if inside.sum() < 64:
        inside = np.ones_like(inside)
    step = min(high, wide) / 128
    coarse = ndimage.gaussian_filter(grey, 16 * step)  # uneven light is no layer: what it adds is left out
    soft = ndimage.gaussian_filter(grey, max(0.7, 2.5 * step))
    softer = ndimage.gaussian_filter(grey, 4 * step)
    raw, even, wide_ = (steepness(x, inside) for x in (soft, soft - coarse, softer - coarse))
    layers = (min(raw, even) + wide_ + 0.5 * likeness(soft - coarse, inside)) / 2.5
    # Colour, at the resolution that JPEG keeps it in
    small = [ndimage.uniform_filter(c, 3)[::2, ::2][inside[::2, ::2]] for c in np.moveaxis(pixels, 2, 0)]
    red, green, blue = small
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    bright = float(light.mean()) + 4
    ink = np.stack([np.ones_like(light), light / 255, (light / 255) ** 2], 1)
    left = [c - ink @ np.linalg.lstsq(ink, c, rcond=None)[0] for c in (red - light, blue - light)]
    # Spots as large as an optic disc: brighter or darker than what is round them
    blob = (ndimage.gaussian_filter(grey, 5 * step) - coarse)[inside]
    blob = np.percentile(blob, [0.3, 99.7])
    value, chroma = np.max(small, 0), np.ptp(small, 0)
    foreign = (chroma > 0.2 * value + 8) & ~((red >= green) & (green >= blue - 0.15 * value))
    flat = ndimage.maximum_filter(grey, 3) - ndimage.minimum_filter(grey, 3) <= 1
    # Lines: the second derivative across them, where it outdoes the one along them
    fine = max(0.8, 1.1 * step)
    lines = pixels[..., 1] if pixels[..., 1].mean() > 8 else grey
    xx, yy, xy = (ndimage.gaussian_filter(lines, fine, order) for order in ((0, 2), (2, 0), (1, 1)))
    mean, root = (xx + yy) / 2, np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    bend = np.where(mean > 0, mean + root, mean - root)[inside]  # the stronger of the two curvatures
    round_ = np.where(mean > 0, mean - root, mean + root)[inside]
    thin = np.where(np.abs(round_) < 0.5 * np.abs(bend), bend, 0)
    thin = thin[np.abs(thin) >= np.percentile(np.abs(thin), 90)]
    dark, light_ = float((thin.clip(0) ** 2).sum()), float((thin.clip(max=0) ** 2).sum())
    return {
        "field": float(field),
        "layers": layers,
        "spread": float(np.hypot(left[0].std(), left[1].std())) / bright,
        "warm": float((red - blue).mean()) / bright,
        "lines": (light_ - dark) / (light_ + dark + 1e-6),
        "spot": float(blob.sum() / (np.ptp(blob) + 1e-6)),
        "foreign": float(foreign.mean()),
        "flat": float(flat[inside].mean()),
        "paper": float((pixels.min(2) > 235).mean()),
    }


def sure(distance: float, width: float) -> float:
    """0..1: how sure one may be, `distance` beyond a threshold that is `width` wide; 0.5 on the threshold."""
    return float(1 / (1 + np.exp(-np.clip(distance / width, -30, 30))))


def look(found: Mapping[str, float]) -> tuple[str, float]:
    """Measured properties -> modality and confidence. Each threshold lies between the sets of the development half."""
    if "plain" in found:
        return "other", 0.9
    colour, lines, warm = found["spread"], found["lines"], found["warm"]
    if found["flat"] > 0.35 and found["paper"] > 0.3 or found["flat"] > 0.8:  # line art, charts, words
        return "other", sure(found["flat"] - 0.3, 0.1)
    # A photograph of the fundus may be lit from above; what is as red as one must show clearer layers.
    red = 0.1 < warm < 1.8 and found["foreign"] < 0.05 and colour < 0.18
    # So must what has a disc's bright spot or a dye's bright lines.
    seen = 0.1 * max(0.0, found["spot"] - 0.4) + 0.1 * max(0.0, lines - 0.4)
    layers = found["layers"] - (0.71 if red else 0.672) - seen
    if layers > 0:
        return "OCT", sure(layers, 0.025)
    beyond = sure(-layers, 0.025)
    foreign = found["foreign"] - (0.6 if found["field"] else 0.3)
    if foreign > 0 or colour > 0.4:
        return "other", min(beyond, max(sure(foreign, 0.1), sure(colour - 0.4, 0.1)))
    # Bright lines speak for dye, warm colours against it: a tinted print has lines, a pale photograph has neither.
    # In a blurred picture (flat) lines are the compression's.
    dye = lines - 0.1 - 0.5 * max(0.0, warm - 0.1) - 0.3 * found["flat"]
    if warm > 0.55 or (warm > 0.03 and dye < 0):
        certain = max(sure(-dye, 0.04), sure(warm - 0.45, 0.05))
        return "CFP", min(beyond, certain, 1.0 if found["field"] else 0.8)
    if dye > 0:
        return "FFA", min(beyond, sure(dye, 0.04), 1.0 if found["field"] else 0.9)
    # Grey, with dark lines: a photograph printed in grey, or infrared, red-free, autofluorescence: all alike, so never sure.
    if warm > -0.03 and found["field"] and found["spot"] > 0.3:
        return "CFP", min(beyond, 0.55 if found["spot"] > 0.6 else 0.45)
    return "other", min(beyond, sure(-dye, 0.04), 0.45 if found["field"] else 0.6)


# What captions call them. "other" is named too: an infrared picture is grey, but no angiogram.
NAMES = {
    "other": r"indocyanine|\bICGA?\b|auto-?fluorescen|\bFAF\b|infra-?red|red-?free|ultraso|OCT-?A\b|OCT angiogra|slit[ -]lamp"
    r"|coherence tomography angiogra|吲哚[菁青]绿|自[发体]荧光|红外|无赤光|超声|裂隙灯",
    "FFA": r"\bFF?A\b|\bIVFA\b|fluorescein|angiogra|(arterio-?venous|arterial|venous|late|early|transit) phase"
    r"|荧光(素)?(眼底)?(血管)?造影|荧光素|动静脉期|(静脉|动脉|造影)(早|晚|中)?期",
    "OCT": r"\bOCT\b|coherence tomogra|光学?相干断层|相干光断层",
    "CFP": r"\bCFP\b|colou?r (fundus|photo)|fundus (colou?r )?(photo|picture|image)"
    r"|眼底彩色?[照像相]|彩色眼底|彩色?照[片相]|眼底[照像]",
}


def named(text: str) -> str:
    """The modality that a caption names; "" where it names none, or several."""
    found = []
    for name, pattern in NAMES.items():
        rest = re.sub(pattern, " ", text, flags=re.IGNORECASE)
        if rest != text:
            found.append(name)
            if name == "other":  # an "indocyanine green angiogram" is not an angiogram of the other kind as well
                rest = re.sub("angiogra", " ", rest, flags=re.IGNORECASE)
        text = rest
    return found[0] if len(found) == 1 else ""


def classify(image: Image.Image, text: str = "") -> tuple[str, float, dict[str, float]]:
    """One picture -> modality (one of MODALITIES or "other"), confidence 0..1, measured properties (see `measure`).

    text  its caption. Where it names the same modality, the confidence rises; another one, it falls below 0.5, and the
          caption's name is taken only if the picture alone was not sure of its own.
    """
    found = measure(image)
    modality, confidence = look(found)
    said = named(text)
    if said == modality:
        confidence = (1 + confidence) / 2
    elif said:
        modality, confidence = (said if confidence < 0.6 and "plain" not in found else modality), min(confidence, 0.45)
    return modality, confidence, found
