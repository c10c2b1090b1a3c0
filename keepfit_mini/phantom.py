"""Draws eyes: colour photographs (CFP), angiograms (FFA) and scans (OCT) with named findings, from a seed.

Three independent streams of random numbers draw the eye, the camera and the findings, so that nothing but the findings
can tell the category. The eye, its findings and the scan are in phantom_eye.py, phantom_findings.py and phantom_scan.py.
Not here: words (captions.py) and data sets (drawn_sets.py).
Everything is drawn from general knowledge of the fundus; no photograph was copied. Not for clinical use.
"""

import io
import sys
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .config import InputError
from .phantom_eye import CAMERA_STYLES, CAMERAS, Eye, nuisances, radius_grid
from .phantom_findings import REGISTRY
from .phantom_scan import Scan

SEVERITIES = ("mild", "moderate", "severe")


@dataclass(frozen=True)
class Finding:
    """One sign of disease: its name, how strong it is (one of SEVERITIES) and where it lies."""

    name: str
    severity: str
    place: str


@dataclass(frozen=True)
class Drawing:
    """A drawn picture (RGB, size x size pixels) and the truth about it."""

    image: Image.Image
    modality: str
    category: str
    findings: tuple[Finding, ...]
    camera: str
    eye: str


# Which findings a category shows, and how often. The first one is always there when chance gave none.
CATEGORIES = {
    "CFP": {
        "normal": {},
        "diabetic retinopathy": {"microaneurysms": 0.9, "dot and blot haemorrhages": 0.8, "hard exudates": 0.65,
                                 "cotton wool spots": 0.25, "neovascularisation": 0.2},
        "age-related macular degeneration": {"drusen": 0.9, "geographic atrophy": 0.4},
        "glaucoma": {"cupping": 1.0},
        "hypertensive retinopathy": {"flame haemorrhages": 0.9, "cotton wool spots": 0.75, "hard exudates": 0.3},
        "retinal vein occlusion": {"vein occlusion": 1.0, "cotton wool spots": 0.3},
        "epiretinal membrane": {"epiretinal membrane": 1.0},
        "macular hole": {"macular hole": 1.0, "epiretinal membrane": 0.15},
        "retinitis pigmentosa": {"bone-spicule pigment": 1.0, "disc pallor": 0.35},
        "laser scars": {"laser scars": 1.0, "microaneurysms": 0.2},
        "optic disc oedema": {"disc oedema": 1.0, "flame haemorrhages": 0.25},
        "optic atrophy": {"disc pallor": 1.0},
        "pathologic myopia": {"myopic crescent": 1.0, "tessellation": 0.9, "geographic atrophy": 0.25},
        "cataract": {"cataract haze": 1.0},
    },
    "FFA": {
        "normal": {},
        "diabetic retinopathy": {"microaneurysms": 0.95, "leakage": 0.5, "non-perfusion": 0.45,
                                 "neovascularisation": 0.35},
        "retinal vein occlusion": {"non-perfusion": 0.8, "leakage": 0.7, "microaneurysms": 0.3},
        "age-related macular degeneration": {"staining": 1.0, "leakage": 0.3},
    },
    "OCT": {
        "normal": {},
        "diabetic macular oedema": {"intraretinal fluid": 1.0, "subretinal fluid": 0.25},
        "central serous chorioretinopathy": {"subretinal fluid": 1.0},
        "age-related macular degeneration": {"drusen": 1.0, "intraretinal fluid": 0.2, "subretinal fluid": 0.2},
        "epiretinal membrane": {"epiretinal membrane": 1.0},
        "macular hole": {"macular hole": 1.0},
    },
}

FINDINGS = {m: tuple(name for modality, name in REGISTRY if modality == m) for m in CATEGORIES}


def _expose(image, camera, nuisance, size, modality):
    """Canvas -> the picture that this camera gives: light, tint, blur, noise, border, compression."""
    image = image.resize((size, size), Image.BOX)
    blur = (camera.blur + nuisance["blur"]) * size / 256
    if blur > 0.05:
        image = image.filter(ImageFilter.GaussianBlur(blur))
    pixels = np.asarray(image, np.float32)
    grain = np.random.default_rng(nuisance["grain"] + 1).standard_normal((size, size, 1), np.float32)
    light = camera.brightness * nuisance["brightness"]
    contrast = camera.contrast * nuisance["contrast"]
    if modality != "OCT":
        r, y = radius_grid(size)
        x = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
        fall = 1 - camera.vignette * r * r + nuisance["light_x"] * x[None] + nuisance["light_y"] * y
        light = (light * fall)[..., None]
        if modality == "CFP":
            light = light * np.array(camera.tint, np.float32)
    pixels = (pixels - 96) * contrast + 96
    pixels = pixels * light + camera.noise * grain
    if modality != "OCT":
        inside = np.clip((camera.zoom - r) * size / 2, 0, 1)
        inside = inside * np.clip((camera.cut * camera.zoom - abs(y)) * size / 2, 0, 1)
        pixels = camera.backdrop + (np.clip(pixels, 0, 255) - camera.backdrop) * inside[..., None]
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=camera.jpeg)
    return Image.open(stream).convert("RGB" if modality == "CFP" else "L").convert("RGB")


def _draw(modality, category, findings, camera, seed, size):
    nuisance = nuisances(seed, camera)
    subject = Scan(size, nuisance) if modality == "OCT" else Eye(modality, size, nuisance)

    def stage(name):
        for f in findings:
            at, _, function = REGISTRY[modality, f.name]
            if at == name:  # a stream of its own for each finding: others do not move it
                rng = np.random.default_rng([seed, 3, FINDINGS[modality].index(f.name)])
                function(subject, rng, SEVERITIES.index(f.severity) + 1, f.place)
    stage("plan")
    if modality == "OCT":
        subject.render()
    else:
        subject.background()
        stage("choroid")
        subject.disc_and_vessels()
        stage("retina")
        stage("media")
    image = _expose(subject.image, CAMERA_STYLES[nuisance["camera"]], nuisance, size, modality)
    return Drawing(image, modality, category, tuple(findings), nuisance["camera"], nuisance["eye"])


def _check(name, value, allowed):
    if value not in allowed:
        raise InputError(f"phantom: {name} {value!r} is not one of: {', '.join(map(str, allowed))}")


def _check_all(modality, camera, size, seed):
    _check("modality", modality, CATEGORIES)
    if camera is not None:
        _check("camera", camera, CAMERAS)
    if size < 16 or seed < 0:
        raise InputError(f"phantom: size {size} and seed {seed} must be at least 16 and 0")


def draw(modality="CFP", category="normal", camera=None, seed=0, size=96):
    """Draw one picture (size x size pixels) of a category; same arguments, same pixels.

    camera: one of CAMERAS, or None: the seed chooses.
    Raises InputError for a modality, category or camera that does not exist, size < 16 or seed < 0."""
    _check_all(modality, camera, size, seed)
    _check("category", category, CATEGORIES[modality])
    rng = np.random.default_rng([seed, 2])
    recipe = CATEGORIES[modality][category]
    names = [name for name, share in recipe.items() if rng.random() < share] or list(recipe)[:1]
    course = rng.integers(0, 3)  # the disease's course; a single finding may be a step off
    findings = []
    for name in names:
        level = int(np.clip(course + rng.choice([-1, 0, 0, 1]), 0, 2))
        places = REGISTRY[modality, name][1]
        findings.append(Finding(name, SEVERITIES[level], places[rng.integers(len(places))]))
    return _draw(modality, category, findings, camera, seed, size)


def draw_finding(modality, finding, severity="moderate", seed=0, size=96, camera=None):
    """Draw one finding alone; its category is "". Raises InputError as `draw` does."""
    _check_all(modality, camera, size, seed)
    _check("finding", finding, FINDINGS[modality])
    _check("severity", severity, SEVERITIES)
    places = REGISTRY[modality, finding][1]
    place = places[np.random.default_rng([seed, 2]).integers(len(places))]
    return _draw(modality, "", [Finding(finding, severity, place)], camera, seed, size)


def contact_sheet_key():
    """What the rows of the contact sheet show, from row 1 on."""
    return [f"{modality}: {name}" for modality in FINDINGS for name in FINDINGS[modality]]


def contact_sheet(size=160, columns=6, blocks=2):
    """A row of `columns` pictures per finding, severity rising from left to right; rows are numbered, never named.

    The rows run down the first of `blocks` blocks, then down the next. `contact_sheet_key` says what they are."""
    rows = [(modality, name) for modality in FINDINGS for name in FINDINGS[modality]]
    deep, step, margin = -(-len(rows) // blocks), size + 4, 44
    wide = columns * step + margin
    sheet = Image.new("RGB", (blocks * wide, deep * step), (255, 255, 255))
    write = ImageDraw.Draw(sheet)
    for row, (modality, name) in enumerate(rows):
        left, top = row // deep * wide, row % deep * step
        write.text((left + 8, top + size // 2 - 12), str(row + 1), fill=(0, 0, 0), font_size=22)
        for column in range(columns):
            drawing = draw_finding(modality, name, SEVERITIES[column * 3 // columns], 100 * row + column, size)
            sheet.paste(drawing.image, (left + margin + column * step, top))
    return sheet


if __name__ == "__main__":
    contact_sheet(size=128).save(sys.argv[1] if len(sys.argv) > 1 else "contact_sheet.jpg", quality=88)
