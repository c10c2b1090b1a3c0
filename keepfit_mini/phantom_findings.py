"""The findings of photographs and angiograms: each a function f(eye, rng, level 1 to 3, place) that paints on an Eye.

Not here: the healthy eye (phantom_eye.py), and which category shows which findings (phantom.py).
"""

import numpy as np
from PIL import Image, ImageChops, ImageFilter

from .phantom_eye import PLACES, QUADRANTS, grow, radius_grid

# (modality, finding) -> (stage, possible places, function that draws it). Stages: "plan" = before anything is painted,
# "choroid" = under the vessels, "retina" = over them, "media" = over everything.
REGISTRY = {}


def finding(name, stage, places, *modalities):
    def register(function):
        for modality in modalities or ("CFP",):
            REGISTRY[modality, name] = stage, places, function
        return function
    return register


BLOOD, EXUDATE, FLUFF, PIGMENT = (118, 14, 10), (255, 232, 120), (244, 236, 214), (34, 20, 16)


@finding("microaneurysms", "retina", ("macula", "posterior pole"), "CFP", "FFA")
def _microaneurysms(eye, rng, level, place):
    points = eye.spots(rng, "posterior pole", (12, 28, 60)[level - 1], 1.0) * (0.75 if place == "macula" else 1)
    colour = (150, 12, 10) if eye.modality == "CFP" else (255, 255, 255)
    eye.blobs(rng, points, rng.uniform(0.24, 0.36, len(points)), colour, 0.95, 0, 0.1)


@finding("dot and blot haemorrhages", "retina", ("posterior pole", *QUADRANTS[:2]))
def _blots(eye, rng, level, place):
    points = eye.spots(rng, place, (5, 12, 26)[level - 1], 1.5)
    eye.blobs(rng, points, rng.uniform(0.4, 1.15, len(points)), BLOOD, 0.9, 0.12, 0.35)


def _flames(eye, rng, points, length):
    """Feathered streaks of blood along the nerve fibres."""
    mask, draw = eye.mask()
    heading = eye.fibre(points).repeat(7, 0)  # seven hairs each
    side = np.stack([-heading[:, 1], heading[:, 0]], -1)
    spread = length * rng.normal(0, (0.16, 0.25, 0.06), (len(heading), 3))
    start = points.repeat(7, 0) + side * spread[:, :1] + heading * spread[:, 1:2]
    end = start + heading * length * rng.uniform(0.5, 1.1, (len(heading), 1)) + side * spread[:, 2:]
    eye.strokes(draw, np.stack([start, end], 1), *rng.uniform((0.15, 170), (0.3, 256), (len(heading), 2)).T)
    eye.paint(mask, BLOOD if eye.modality == "CFP" else (8, 8, 8), 0.9, 0.06)


@finding("flame haemorrhages", "retina", ("around the disc", *QUADRANTS[:2]))
def _flame(eye, rng, level, place):
    _flames(eye, rng, eye.spots(rng, place, (6, 12, 22)[level - 1], 2), rng.uniform(2.2, 2.9))


@finding("hard exudates", "retina", ("macula", "superotemporal", "inferotemporal"))
def _exudates(eye, rng, level, place):
    for middle in eye.spots(rng, place, level, 1.5):
        count = (14, 26, 40)[level - 1]
        angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0, 5, count)  # most of a ring
        r = rng.uniform(1.4, 2.6) + rng.normal(0, 0.45, count)
        points = middle + np.stack([r * np.cos(angle), r * np.sin(angle)], -1)
        eye.blobs(rng, points, rng.uniform(0.15, 0.42, count), EXUDATE, 1, 0.04, 0.5)


@finding("cotton wool spots", "retina", ("around the disc", *QUADRANTS[:2]))
def _cotton(eye, rng, level, place):
    spread = eye.disc + 7 * rng.uniform(-1, 1, (40, 2)) if "disc" in place else eye.spots(rng, place, 40, 4)
    far = spread[np.linalg.norm(spread - eye.disc, axis=1) > 4.2]
    for point in far[:(3, 6, 11)[level - 1]]:
        for _ in range(4):
            eye.glow(point + rng.normal(0, 0.45, 2), rng.uniform(0.9, 1.5), FLUFF, 0.75, rng.uniform(0.6, 1))


@finding("neovascularisation", "retina", ("disc", *QUADRANTS[:2]), "CFP", "FFA")
def _new_vessels(eye, rng, level, place):
    colour = (140, 10, 14) if eye.modality == "CFP" else (255, 255, 255)
    middle = eye.disc + rng.normal(0, 0.8, 2) if place == "disc" else eye.spots(rng, place, 1)[0]
    reach = (2.6, 3.8, 5.2)[level - 1]
    if eye.modality == "FFA":
        eye.glow(middle, reach * 1.35, (255, 255, 255), 0.75)
    mask, draw = eye.mask()
    count = (12, 18, 26)[level - 1]
    start = middle + rng.normal(0, 0.3, (count, 2))
    heading = np.linspace(0, 2 * np.pi, count) + rng.normal(0, 0.2, count)
    fronds = grow(rng, start, heading, reach * rng.uniform(0.7, 1.2, count), 14, 0.9)
    loops = eye.outline(rng, fronds[:, -1], 0.16 * reach, 0.3)
    eye.strokes(draw, fronds, 0.24)
    eye.strokes(draw, np.concatenate([loops, loops[:, :1]], 1), 0.2)
    eye.paint(mask, colour, 0.9)
    if level == 3 and eye.modality == "CFP":  # blood before the retina: a boat with a flat top
        boat = np.array([(-3.2, 0), (3.2, 0), (2.4, -1.5), (0, -2.3), (-2.4, -1.5)]) - [0, reach + 0.5]
        eye.paint(eye.patch([middle + boat]), (104, 10, 10), 0.9, 0.15)


@finding("drusen", "choroid", ("macula",))
def _drusen(eye, rng, level, place):
    count = (16, 34, 60)[level - 1]
    angle, r = rng.uniform(0, 2 * np.pi, count), (4.5 + 0.5 * level) * rng.random(count) ** 0.6
    points = np.stack([r * np.cos(angle), r * np.sin(angle)], -1)
    eye.blobs(rng, points, 0.28 + 0.14 * level * rng.random(count) ** 2, (246, 204, 122), 0.8, 0.14, 0.08)


def _atrophy(eye, rng, middle, radius):
    """A sharp pale patch in which the large choroidal vessels are bared."""
    outline = eye.outline(rng, middle, radius, 0.3, corners=40)
    mask = eye.patch(outline)
    eye.paint(mask, (246, 196, 138), 0.85, 0.06)
    vessels, draw = eye.mask()
    start = middle + radius * rng.uniform(-0.8, 0.8, (5, 2))
    eye.strokes(draw, grow(rng, start, rng.uniform(0, 6, 5), np.full(5, radius * 1.6), 10, 0.5), 0.35)
    eye.paint(ImageChops.multiply(vessels, mask), (206, 96, 58), 0.8)
    edge, draw = eye.mask()
    eye.strokes(draw, np.concatenate([outline, outline[:, :1]], 1), 0.2)
    eye.paint(edge, (120, 56, 30), 0.5)


@finding("geographic atrophy", "choroid", ("macula",))
def _geographic(eye, rng, level, place):
    for _ in range(rng.integers(1, 3) if level < 3 else 1):
        _atrophy(eye, rng, rng.normal(0, 0.6 if level == 3 else 1.4, 2), (1.5, 2.6, 4.2)[level - 1])


@finding("cupping", "plan", ("disc",))
def _cupping(eye, rng, level, place):
    eye.cup = (0.56, 0.67, 0.78)[level - 1]
    eye.colours["cup"], eye.colours["rim"] = (255, 252, 234), (255, 188, 104)


@finding("disc pallor", "plan", ("disc",))
def _pallor(eye, rng, level, place):
    mix = (0.5, 0.75, 1.0)[level - 1]
    for part in ("rim", "cup"):
        old = np.array(eye.colours[part])
        eye.colours[part] = tuple((old + mix * (np.array((255, 254, 250)) - old)).astype(int).tolist())
    eye.artery_width = 1 - 0.2 * mix


@finding("disc oedema", "retina", ("disc",))
def _oedema(eye, rng, level, place):
    eye.glow(eye.disc, eye.disc_radius * (1.5 + 0.35 * level), (236, 150, 104), 0.5 + 0.15 * level)
    eye.glow(eye.disc, eye.disc_radius * (1.3 + 0.3 * level), (244, 168, 118), 0.5 + 0.15 * level)
    mask, draw = eye.mask()
    angle = rng.uniform(0, 2 * np.pi, 20 + 14 * level)  # swollen fibres
    span = eye.disc_radius * rng.uniform((0.4, 1.1), (0.9, 1.3 + 0.25 * level), (len(angle), 2))
    eye.strokes(draw, eye.disc + span[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)[:, None], 0.2, 170)
    eye.paint(mask, (255, 218, 180), 0.6, 0.1)
    if level > 1:
        angle = rng.uniform(0, 2 * np.pi, 3 * level)
        _flames(eye, rng, eye.disc + eye.disc_radius * 1.25 * np.stack([np.cos(angle), np.sin(angle)], -1), 1.9)


@finding("cataract haze", "media", ("all over the picture",))
def _haze(eye, rng, level, place):
    blur = eye.image.filter(ImageFilter.GaussianBlur((0.35, 0.7, 1.1)[level - 1] * eye.scale))
    fog = Image.new("RGB", blur.size, tuple(int(v) for v in rng.normal((186, 146, 104), 6)))
    eye.image = Image.blend(blur, fog, (0.35, 0.5, 0.63)[level - 1])


@finding("myopic crescent", "choroid", ("temporal to the disc",))
def _crescent(eye, rng, level, place):
    wide = (0.9, 1.7, 2.8)[level - 1]
    middle = eye.disc - [wide * 0.85, rng.normal(0, 0.3)]
    mask = eye.patch(eye.outline(rng, middle, eye.disc_radius + wide * 0.55, 0.05, corners=40))
    eye.paint(mask, (120, 60, 34), 0.6, 0.35)  # a rim of pigment
    eye.paint(mask, (255, 236, 200), 0.92, 0.05)


@finding("tessellation", "choroid", ("posterior pole",))
def _tessellation(eye, rng, level, place):
    eye.paint(Image.new("L", eye.image.size, 255), (112, 40, 20), 0.12 + 0.12 * level)
    net = Image.fromarray((255 * eye.net).astype(np.uint8))
    eye.paint(net, (236, 128, 72), 0.25 + 0.15 * level)


@finding("macular hole", "retina", ("macula",))
def _hole(eye, rng, level, place):
    radius = (0.75, 1.15, 1.6)[level - 1]
    eye.blobs(rng, [(0, 0)], radius * 1.9, (226, 160, 120), 0.7, 0.3, 0.03)
    eye.blobs(rng, [(0, 0)], radius, (122, 14, 12), 1, 0.08, 0.04)
    eye.blobs(rng, rng.normal(0, 0.4 * radius, (2 + level, 2)), 0.16, (250, 214, 110), 0.9, 0)


@finding("epiretinal membrane", "retina", ("macula",))
def _membrane(eye, rng, level, place):
    reach, middle = (3.4, 4.6, 6.0)[level - 1], rng.normal(0, 0.7, 2)
    sheet = eye.patch(eye.outline(rng, middle, reach, 0.25, rng.uniform(0.7, 0.9)))
    eye.paint(sheet, (214, 204, 190), 0.2 + 0.08 * level, 0.9)
    # Folds run together where the sheet contracts; each is a bright ridge with a dark valley beside it.
    count = 12 + 5 * level
    main = rng.uniform(0, np.pi)
    heading = main + np.pi * rng.integers(0, 2, count) + rng.normal(0, 0.55, count)
    start = middle + rng.normal(0, 0.9, (count, 2))
    folds = grow(rng, start, heading, reach * rng.uniform(0.5, 1.1, count), 10, 0.35)
    mask, draw = eye.mask()
    eye.strokes(draw, folds, 0.17)
    eye.paint(ImageChops.offset(mask, max(1, round(0.3 * eye.scale))), (104, 48, 32), 0.3 + 0.1 * level)
    eye.paint(mask, (250, 244, 230), 0.3 + 0.12 * level)
    for _ in range(2 + level):  # glints, as of cellophane
        point, radius = middle + rng.normal(0, reach * 0.4, 2), reach * rng.uniform(0.2, 0.35)
        eye.glow(point, radius, (255, 252, 240), 0.5, rng.uniform(0.3, 0.6))


@finding("vein occlusion", "retina", QUADRANTS[:2])
def _occlusion(eye, rng, level, place):
    vein = eye.trunks[4 + QUADRANTS.index(place)]
    along = np.gradient(vein, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], -1) / np.linalg.norm(along, axis=1, keepdims=True)
    step = np.arange(len(vein))[:, None]
    swollen = vein + 0.5 * np.sin(step * 1.5) * np.minimum(1, step / 6) * across
    mask, draw = eye.mask()
    eye.strokes(draw, swollen[None, :24], 0.75 + 0.12 * level)
    eye.paint(mask, (96, 12, 14), 0.9)
    at = rng.integers(6, 26, (18, 40, 75)[level - 1])
    points = vein[at] + rng.normal(0, 1.6 + 0.5 * level, (len(at), 2))
    points = points[points[:, 1] * np.sign(vein[12, 1]) > 0.8]  # the horizontal raphe is the border
    _flames(eye, rng, points, 2.0)
    eye.blobs(rng, points[::3], rng.uniform(0.3, 0.9, len(points[::3])), BLOOD, 0.85, 0.15, 0.4)


@finding("laser scars", "choroid", ("mid-periphery",))
def _laser(eye, rng, level, place):
    points = eye.spots(rng, place, (16, 40, 80)[level - 1])
    keep = [i for i, p in enumerate(points) if i == 0 or np.linalg.norm(points[:i] - p, axis=1).min() > 1.5]
    points, radius = points[keep], rng.uniform(0.6, 0.9, len(keep))
    eye.blobs(rng, points, radius * 1.15, (96, 44, 26), 0.7, 0.1, 0.08)
    eye.blobs(rng, points, radius, (246, 214, 160), 0.9, 0.08, 0.1)
    eye.blobs(rng, points, radius * rng.choice([0.15, 0.4, 0.55], len(points)), PIGMENT, 0.85, 0.06, 0.3)


@finding("bone-spicule pigment", "choroid", ("mid-periphery",))
def _spicules(eye, rng, level, place):
    ring = Image.fromarray((np.clip(radius_grid(eye.n)[0] / eye.camera.zoom - 0.4, 0, 0.5) * 400).astype(np.uint8))
    eye.paint(ring, (116, 84, 70), 0.3 + 0.1 * level)
    eye.artery_width = 0.55
    points = eye.spots(rng, place, (22, 48, 90)[level - 1])
    mask, draw = eye.mask()
    arms = 4
    heading = (rng.uniform(0, 2 * np.pi, (len(points), 1)) + np.arange(arms) * 2 * np.pi / arms).ravel()
    length = rng.uniform(0.3, 1.8, len(heading))
    heading += rng.normal(0, 0.4, len(heading))
    eye.strokes(draw, grow(rng, points.repeat(arms, 0), heading, length, 4, 0.5), 0.28)
    eye.paint(mask, PIGMENT, 0.95)


# Angiograms: what fills with dye is white.

@finding("leakage", "media", ("macula", *QUADRANTS[:2]), "FFA")
def _leakage(eye, rng, level, place):
    for point in eye.spots(rng, place, level, 1):
        for _ in range(5):
            radius = rng.uniform(1.6, 2.6) + 0.3 * level
            eye.glow(point + rng.normal(0, 0.8, 2), radius, (250, 250, 250), 0.65, rng.uniform(0.7, 1))


@finding("staining", "retina", ("macula", "posterior pole"), "FFA")
def _staining(eye, rng, level, place):
    points = eye.spots(rng, place, (2, 4, 7)[level - 1])
    eye.blobs(rng, points, rng.uniform(0.9, 1.7, len(points)), (236, 236, 236), 0.95, 0, 0.22)


@finding("non-perfusion", "retina", QUADRANTS, "FFA")
def _nonperfusion(eye, rng, level, place):
    x, y, _ = PLACES[place]
    middle, reach = np.array([x, y * 1.15]) + rng.normal(0, 0.8, 2), (3.0, 4.5, 6.5)[level - 1]
    points = middle + rng.normal(0, 0.35 * reach, (5, 2))
    eye.blobs(rng, points, reach * rng.uniform(0.5, 0.85, 5), (18, 18, 18), 0.93, 0.3, 0.3)
    stumps, draw = eye.mask()  # pruned vessels at the border
    heading = rng.uniform(0, 2 * np.pi, 8)
    start = middle + reach * 1.1 * np.stack([np.cos(heading), np.sin(heading)], -1)
    eye.strokes(draw, grow(rng, start, heading + np.pi, rng.uniform(0.8, 2, 8), 5, 0.3), 0.22)
    eye.paint(stumps, (230, 230, 230), 0.9)
