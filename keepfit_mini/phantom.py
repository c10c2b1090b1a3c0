"""Draws eyes: colour photographs (CFP), angiograms (FFA) and scans (OCT) with named findings, from a seed.

An eye is described in degrees of visual angle: the fovea at (0, 0), x towards the nose, y up, the disc near (15, 1.5).
Three independent streams of random numbers draw the eye, the camera and the findings, so that nothing but the findings
can tell the category. Not here: words (captions.py) and data sets (drawn_sets.py).
Everything is drawn from general knowledge of the fundus; no photograph was copied. Not for clinical use.
"""

import io
import sys
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter

from .config import InputError

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


@dataclass(frozen=True)
class Camera:
    """A hospital's camera: `field` = radius seen in degrees, `zoom` = that radius in half picture widths (over 1:
    cropped), `cut` = height kept above and below the middle, `blur` and `noise` in 1/256 picture and grey levels."""

    field: float
    tint: tuple[float, float, float]
    brightness: float
    contrast: float
    blur: float
    noise: float
    jpeg: int
    zoom: float
    cut: float
    backdrop: tuple[int, int, int]
    vignette: float


_CAMERAS = {
    "amber": Camera(23, (1.00, 1.00, 0.95), 1.05, 1.00, 0.3, 3, 95, 0.98, 1.00, (0, 0, 0), 0.25),
    "garnet": Camera(25, (1.08, 0.88, 0.80), 0.95, 1.10, 0.5, 4, 85, 0.96, 0.84, (4, 2, 2), 0.35),
    "topaz": Camera(22, (1.00, 1.06, 0.70), 1.00, 1.05, 0.4, 3, 90, 1.10, 1.00, (0, 0, 0), 0.20),
    "coral": Camera(24, (1.05, 1.02, 1.25), 1.12, 0.90, 0.4, 5, 80, 0.97, 0.90, (10, 8, 10), 0.15),
    "umber": Camera(26, (0.90, 0.88, 0.88), 0.94, 1.00, 0.7, 5, 75, 0.94, 1.00, (0, 0, 0), 0.45),
    "sienna": Camera(22, (1.02, 0.94, 0.85), 1.02, 1.15, 0.3, 2, 95, 1.04, 1.00, (2, 2, 2), 0.30),
    "pearl": Camera(23, (0.98, 1.08, 1.20), 1.10, 0.92, 0.5, 3, 90, 0.98, 0.88, (14, 14, 16), 0.20),
    "jade": Camera(24, (0.90, 1.05, 0.85), 0.98, 1.05, 0.6, 4, 85, 1.06, 1.00, (0, 2, 0), 0.30),
    "slate": Camera(25, (0.94, 0.96, 1.10), 0.92, 1.08, 0.4, 5, 80, 0.96, 1.00, (6, 6, 6), 0.40),
}
CAMERAS = tuple(_CAMERAS)

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

# Centre and spread, in degrees, of the places that findings lie in; the disc and the mid-periphery depend on the eye.
PLACES = {"macula": (0, 0, 3.0), "posterior pole": (2, 0, 7.5), "superotemporal": (-2, 9, 3.5),
          "inferotemporal": (-2, -9, 3.5), "superonasal": (17, 10, 3.0), "inferonasal": (17, -9, 3.0)}
QUADRANTS = ("superotemporal", "inferotemporal", "superonasal", "inferonasal")

# (modality, finding) -> (stage, possible places, function that draws it). Stages: "plan" = before anything is painted,
# "choroid" = under the vessels, "retina" = over them, "media" = over everything.
_REGISTRY = {}


def _finding(name, stage, places, *modalities):
    def register(function):
        for modality in modalities or ("CFP",):
            _REGISTRY[modality, name] = stage, places, function
        return function
    return register


# ---------------------------------------------------------------- the eye

@lru_cache(maxsize=8)
def _textures(n):
    """Choroid mottling (2n, 2n) about 0, and a net of choroidal vessels (2n, 2n) in [0, 1]; a picture shows a crop."""
    rng = np.random.default_rng(5)

    def noise(sigma):
        field = gaussian_filter(rng.standard_normal((512, 512)).astype(np.float32), sigma, mode="wrap")
        return field / field.std()
    mottle = 0.5 * noise(24) + 0.35 * noise(8) + 0.3 * noise(2.5)
    net = sum(0.7 * np.exp(-((noise(sigma) / 0.35) ** 2)) for sigma in ((5, 14), (7, 12), (10, 6))).clip(0, 1)
    return tuple(np.asarray(Image.fromarray(t).resize((2 * n, 2 * n), Image.BILINEAR)) for t in (mottle, net))


@lru_cache(maxsize=8)
def _radius(size):
    """Distance of every pixel from the middle (size, size) and its height, in half widths."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    return np.hypot(axis[None], axis[:, None]), axis[:, None]


@lru_cache(maxsize=1024)
def _glow(width, height, strength):
    """A soft round spot, as a mask of `width` x `height` pixels."""
    x, y = np.linspace(-1, 1, width)[None], np.linspace(-1, 1, height)[:, None]
    return Image.fromarray((255 * strength * np.clip(1 - x * x - y * y, 0, 1) ** 1.5).astype(np.uint8))


@lru_cache(maxsize=256)
def _scaled(strength):
    """The look-up table that weakens a mask."""
    return [int(v * strength) for v in range(256)]


def _grow(rng, start, heading, length, steps, wiggle):
    """Paths (n, steps, 2) that leave `start` (n, 2) at `heading` (n,) and wander."""
    t = np.linspace(0, 1, steps)
    bend, phase, waves = rng.normal(0, 0.5, (3, len(start), 1))
    angle = heading[:, None] + bend * t + wiggle * np.sin(6 * phase + (9 + 4 * waves) * t) * np.minimum(1, 4 * t)
    step = (length / steps)[:, None]
    return start[:, None] + np.cumsum(np.stack([step * np.cos(angle), step * np.sin(angle)], -1), 1)


def _vessel_tree(rng, disc):
    """Four arcades of arteries and of veins with branches and twigs, around the disc at `disc`.

    [(paths (m, n, 2), widths (m,), veins? (m,))] in degrees, thin vessels first, and the eight trunks (8, 28, 2)."""
    quadrants = np.array([[(12.5, 8.5), (4, 12), (-17, 5)], [(12.5, -8.5), (4, -12), (-17, -5)],
                          [(18.5, 5.5), (22, 9.5), (31, 17)], [(18.5, -5.5), (22, -9.5), (31, -17)]], float)
    # Four arteries, then the four veins that go with them, a little nearer to the fovea.
    control = np.concatenate([quadrants, quadrants * [1.0, 0.86] + [0.5, 0]]) + rng.normal(0, 1.0, (8, 3, 2))
    control = np.concatenate([np.broadcast_to(disc, (8, 1, 2)) + rng.normal(0, 0.25, (8, 1, 2)), control], 1)
    t = np.linspace(0, 1, 28)[None, :, None]
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    trunks = sum(w * control[:, i:i + 1] for i, w in enumerate(weights))  # (8, 28, 2), cubic Bezier curves
    vein = np.arange(8) >= 4
    along = np.gradient(trunks, axis=1)
    across = np.stack([-along[..., 1], along[..., 0]], -1) / np.linalg.norm(along, axis=-1, keepdims=True)
    swing = np.sin(t * rng.uniform(18, 30, (8, 1, 1)) + rng.uniform(0, 6, (8, 1, 1)))
    swing *= np.where(vein, 0.28, 0.14)[:, None, None]
    trunks = trunks + swing * across * np.minimum(1, 5 * t)
    width = np.where(vein, 0.66, 0.48) * rng.uniform(0.9, 1.1, 8)

    def branch(parents, count, low, high, length, steps):
        which = np.repeat(np.arange(len(parents)), count)
        at = rng.integers(int(low * parents.shape[1]), int(high * parents.shape[1]), len(which))
        ahead = parents[which, np.minimum(at + 1, parents.shape[1] - 1)] - parents[which, at - 1]
        turn = np.where(np.arange(len(which)) % 2, 1, -1) * rng.uniform(0.5, 1.0, len(which))
        reach = length * rng.uniform(0.6, 1.3, len(which))
        return which, _grow(rng, parents[which, at], np.arctan2(ahead[:, 1], ahead[:, 0]) + turn, reach, steps, 0.35)
    first, branches = branch(trunks, 5, 0.15, 0.9, 10, 16)
    second, twigs = branch(branches, 2, 0.2, 0.9, 4.5, 9)
    # Pieces of each trunk get thinner outwards.
    tree = [(twigs, width[first[second]] * 0.26, vein[first[second]]), (branches, width[first] * 0.44, vein[first])]
    for low, high, thin in ((18, 28, 0.6), (8, 19, 0.8), (4, 9, 1.0), (0, 5, 0.7)):
        tree.append((trunks[:, low:high], width * thin, vein))
    return tree, trunks


def nuisances(seed=0, camera=None):
    """Everything about a picture that has nothing to do with its category, as a dict of numbers and names."""
    eye, shot = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    chosen = CAMERAS[shot.integers(len(CAMERAS))]
    dim, soft = shot.random() < 0.12, shot.random() < 0.15
    return {
        "eye": ("right", "left")[eye.integers(2)], "pigment": eye.random(), "disc_x": 15 + eye.normal(0, 0.5),
        "disc_y": 1.5 + eye.normal(0, 0.5), "disc_radius": eye.uniform(2.8, 3.4), "cup": eye.uniform(0.2, 0.42),
        "shift": tuple(int(v) for v in eye.integers(0, 1000, 2)), "tree": int(eye.integers(1 << 30)),
        "camera": camera or chosen, "centre_x": shot.uniform(2, 7), "centre_y": shot.normal(0, 0.7),
        "brightness": shot.uniform(0.88, 1.12) * (0.75 if dim else 1), "contrast": shot.uniform(0.92, 1.08),
        "blur": 1.6 * shot.random() * soft, "light_x": shot.normal(0, 0.12), "light_y": shot.normal(0, 0.12),
        "grain": int(shot.integers(1 << 30)),
    }


# Colours of the healthy parts, and how strongly the background is mottled.
_PALETTE = {
    "CFP": {"light": (208, 116, 66), "dark": (158, 66, 30), "macula": (92, 28, 14), "rim": (246, 178, 102),
            "cup": (255, 238, 186), "vein": (112, 22, 20), "artery": (160, 40, 28), "reflex": (226, 140, 104),
            "mottle": 0.06},
    "FFA": {"light": (84, 84, 84), "dark": (58, 58, 58), "macula": (14, 14, 14), "rim": (186, 186, 186),
            "cup": (150, 150, 150), "vein": (226, 226, 226), "artery": (238, 238, 238), "reflex": (255, 255, 255),
            "mottle": 0.12},
}


class _Eye:
    """A canvas at twice the picture's size (n x n pixels), and what is needed to paint on it in degrees."""

    def __init__(self, modality, size, nuisance):
        self.n, self.modality, self.colours = max(2 * size, 128), modality, dict(_PALETTE.get(modality, {}))
        self.nuisance, self.camera = nuisance, _CAMERAS[nuisance["camera"]]
        self.scale = self.n / 2 * self.camera.zoom / self.camera.field  # pixels a degree
        self.side = 1 if nuisance["eye"] == "right" else -1
        self.centre = np.array([nuisance["centre_x"], nuisance["centre_y"]])
        self.disc, self.disc_radius = np.array([nuisance["disc_x"], nuisance["disc_y"]]), nuisance["disc_radius"]
        self.cup, self.artery_width = nuisance["cup"], 1.0
        self.tree, self.trunks = _vessel_tree(np.random.default_rng(nuisance["tree"]), self.disc)
        x, y = (v % self.n for v in nuisance["shift"])
        self.mottle, self.net = (t[y:y + self.n, x:x + self.n] for t in _textures(self.n))

    def pixels(self, points):
        """Degrees (..., 2) -> canvas pixels (..., 2)."""
        return self.n / 2 + (np.asarray(points, float) - self.centre) * self.scale * [self.side, -1]

    def mask(self):
        mask = Image.new("L", (self.n, self.n))
        return mask, ImageDraw.Draw(mask)

    def paint(self, mask, colour, strength=1.0, soft=0.0):
        """Cover the canvas with a colour where the mask says so; `soft` blurs the mask's edge, in degrees."""
        if soft:
            mask = mask.filter(ImageFilter.BoxBlur(soft * self.scale))
        self.image.paste(colour, (0, 0), mask.point(_scaled(strength)) if strength < 1 else mask)

    def glow(self, point, radius, colour, strength=1.0, squeeze=1.0):
        """A soft spot; `radius` in degrees, `squeeze` = height over width."""
        w, h = (max(2, round(2 * radius * self.scale * s)) for s in (1, squeeze))
        x, y = self.pixels(point)
        self.image.paste(colour, (round(x - w / 2), round(y - h / 2)), _glow(w, h, strength))

    def strokes(self, draw, paths, width, value=255):
        """Lines (m, n, 2) in degrees, of one width or of m widths; thinner than a pixel = fainter."""
        wide = np.broadcast_to(width, len(paths)) * self.scale
        whole = np.maximum(1, np.rint(wide)).astype(int)
        shade = (value * np.minimum(1, wide / whole)).astype(int)
        lines = self.pixels(paths).reshape(len(paths), -1).tolist()
        for line, thick, fill in zip(lines, whole.tolist(), shade.tolist(), strict=True):
            draw.line(line, fill=fill, width=thick, joint="curve" if thick > 3 else None)

    def outline(self, rng, points, radius, rough=0.25, squeeze=1.0, corners=24):
        """Irregular round outlines (n, corners, 2) about points (n, 2), in degrees."""
        points = np.atleast_2d(points)
        angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
        waves, phase = np.array([2, 3, 5]), rng.uniform(0, 2 * np.pi, (len(points), 1, 3))
        wobble = (np.sin(angle[:, None] * waves + phase) * [0.5, 0.6, 0.4]).sum(-1)
        r = np.broadcast_to(radius, len(points))[:, None] * (1 + rough * wobble)
        return points[:, None] + np.stack([r * np.cos(angle), squeeze * r * np.sin(angle)], -1)

    def patch(self, outlines, value=255):
        """The mask of closed outlines (m, n, 2) in degrees."""
        mask, draw = self.mask()
        for outline in self.pixels(outlines).reshape(len(outlines), -1).tolist():
            draw.polygon(outline, fill=value)
        return mask

    def blobs(self, rng, points, radius, colour, strength=1.0, soft=0.1, rough=0.25):
        corners = 10 if np.max(radius) * self.scale < 5 else 32
        outlines = self.outline(rng, points, radius, rough, corners=corners)
        self.paint(self.patch(outlines, int(255 * strength)), colour, soft=soft)

    def spots(self, rng, place, count, clear=0.0):
        """`count` points (count, 2) in degrees at a place, in view, off the disc, `clear` degrees from the fovea."""
        kept = np.zeros((0, 2))
        while len(kept) < count:
            if place == "mid-periphery":
                angle, r = rng.uniform(0, 2 * np.pi, 4 * count), self.camera.field * rng.uniform(0.6, 0.95, 4 * count)
                points = self.centre + np.stack([r * np.cos(angle), r * np.sin(angle)], -1)
            else:
                x, y, spread = (*self.disc, 4.5) if "disc" in place else PLACES[place]
                points = [x, y] + spread * rng.uniform(-1, 1, (4 * count, 2))
            off_disc = np.linalg.norm(points - self.disc, axis=1) > self.disc_radius * 1.15
            seen = np.linalg.norm(points - self.centre, axis=1) < 0.95 * self.camera.field / max(1, self.camera.zoom)
            seen &= np.abs(points - self.centre)[:, 1] < 0.93 * self.camera.cut * self.camera.field / self.camera.zoom
            kept = np.concatenate([kept, points[off_disc & seen & (np.linalg.norm(points, axis=1) > clear)]])
        return kept[:count]

    def fibre(self, points):
        """Direction (n, 2) of the nerve fibres: away from the disc, bent around the fovea."""
        away = points - self.disc
        away = away / np.linalg.norm(away, axis=1, keepdims=True)
        around = np.stack([-np.abs(points[:, 1]), np.sign(points[:, 1]) * points[:, 0]], -1)
        around /= np.linalg.norm(around, axis=1, keepdims=True) + 1e-6
        near = np.exp(-np.linalg.norm(points, axis=1, keepdims=True) / 8)
        return (1 - near) * away + near * around

    def background(self):
        light, dark = (np.array(self.colours[k], np.float32) for k in ("light", "dark"))
        base = light + (dark - light) * self.nuisance["pigment"]
        base = base * (1 + self.colours["mottle"] * self.mottle[..., None])
        self.image = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))
        self.glow((0, 0), 6.5, self.colours["macula"], 0.5 if self.modality == "CFP" else 0.85)
        self.glow((0, 0), 2.2, self.colours["macula"], 0.45)

    def disc_and_vessels(self):
        c = self.colours
        rng = np.random.default_rng(self.nuisance["tree"] + 1)
        self.blobs(rng, self.disc, self.disc_radius, c["rim"], 0.95, 0.2, 0.03)
        deep, place = self.cup > 0.5, self.disc - [0.15, 0]
        if deep:  # the shadow under the edge of a deep cup
            self.blobs(rng, place, self.disc_radius * self.cup + 0.3, (150, 78, 44), 0.7, 0.1, 0.02)
        self.blobs(rng, place, self.disc_radius * self.cup, c["cup"], 1 if deep else 0.85, 0.12 if deep else 0.3, 0.03)
        veins, arteries = self.mask(), self.mask()
        for paths, width, vein in self.tree:
            self.strokes(arteries[1], paths[~vein], width[~vein] * self.artery_width, 205)
            self.strokes(veins[1], paths[vein], width[vein], 217)
        if deep:  # in a deep cup the vessels dive under the rim and are lost
            hidden = self.patch(self.outline(rng, self.disc - [0.5, 0], self.disc_radius * self.cup * 0.9, 0), 225)
            veins, arteries = ((ImageChops.subtract(m, hidden), d) for m, d in (veins, arteries))
        self.paint(veins[0], c["vein"])
        self.paint(arteries[0], c["artery"])
        if self.scale > 4:  # the light reflex of an artery is seen from about 96 pixels on
            reflex, draw = self.mask()
            self.strokes(draw, self.trunks[:4, :20], 0.13, 153)
            self.paint(reflex, c["reflex"])
        if self.modality == "CFP":
            self.glow((0.1, 0.1), 0.5, (255, 200, 150), 0.5)  # the foveal reflex


# ---------------------------------------------------------------- findings of the fundus: f(eye, rng, level, place)

BLOOD, EXUDATE, FLUFF, PIGMENT = (118, 14, 10), (255, 232, 120), (244, 236, 214), (34, 20, 16)


@_finding("microaneurysms", "retina", ("macula", "posterior pole"), "CFP", "FFA")
def _microaneurysms(eye, rng, level, place):
    points = eye.spots(rng, "posterior pole", (12, 28, 60)[level - 1], 1.0) * (0.75 if place == "macula" else 1)
    colour = (150, 12, 10) if eye.modality == "CFP" else (255, 255, 255)
    eye.blobs(rng, points, rng.uniform(0.24, 0.36, len(points)), colour, 0.95, 0, 0.1)


@_finding("dot and blot haemorrhages", "retina", ("posterior pole", *QUADRANTS[:2]))
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


@_finding("flame haemorrhages", "retina", ("around the disc", *QUADRANTS[:2]))
def _flame(eye, rng, level, place):
    _flames(eye, rng, eye.spots(rng, place, (6, 12, 22)[level - 1], 2), rng.uniform(2.2, 2.9))


@_finding("hard exudates", "retina", ("macula", "superotemporal", "inferotemporal"))
def _exudates(eye, rng, level, place):
    for middle in eye.spots(rng, place, level, 1.5):
        count = (14, 26, 40)[level - 1]
        angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0, 5, count)  # most of a ring
        r = rng.uniform(1.4, 2.6) + rng.normal(0, 0.45, count)
        points = middle + np.stack([r * np.cos(angle), r * np.sin(angle)], -1)
        eye.blobs(rng, points, rng.uniform(0.15, 0.42, count), EXUDATE, 1, 0.04, 0.5)


@_finding("cotton wool spots", "retina", ("around the disc", *QUADRANTS[:2]))
def _cotton(eye, rng, level, place):
    spread = eye.disc + 7 * rng.uniform(-1, 1, (40, 2)) if "disc" in place else eye.spots(rng, place, 40, 4)
    far = spread[np.linalg.norm(spread - eye.disc, axis=1) > 4.2]
    for point in far[:(3, 6, 11)[level - 1]]:
        for _ in range(4):
            eye.glow(point + rng.normal(0, 0.45, 2), rng.uniform(0.9, 1.5), FLUFF, 0.75, rng.uniform(0.6, 1))


@_finding("neovascularisation", "retina", ("disc", *QUADRANTS[:2]), "CFP", "FFA")
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
    fronds = _grow(rng, start, heading, reach * rng.uniform(0.7, 1.2, count), 14, 0.9)
    loops = eye.outline(rng, fronds[:, -1], 0.16 * reach, 0.3)
    eye.strokes(draw, fronds, 0.24)
    eye.strokes(draw, np.concatenate([loops, loops[:, :1]], 1), 0.2)
    eye.paint(mask, colour, 0.9)
    if level == 3 and eye.modality == "CFP":  # blood before the retina: a boat with a flat top
        boat = np.array([(-3.2, 0), (3.2, 0), (2.4, -1.5), (0, -2.3), (-2.4, -1.5)]) - [0, reach + 0.5]
        eye.paint(eye.patch([middle + boat]), (104, 10, 10), 0.9, 0.15)


@_finding("drusen", "choroid", ("macula",))
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
    eye.strokes(draw, _grow(rng, start, rng.uniform(0, 6, 5), np.full(5, radius * 1.6), 10, 0.5), 0.35)
    eye.paint(ImageChops.multiply(vessels, mask), (206, 96, 58), 0.8)
    edge, draw = eye.mask()
    eye.strokes(draw, np.concatenate([outline, outline[:, :1]], 1), 0.2)
    eye.paint(edge, (120, 56, 30), 0.5)


@_finding("geographic atrophy", "choroid", ("macula",))
def _geographic(eye, rng, level, place):
    for _ in range(rng.integers(1, 3) if level < 3 else 1):
        _atrophy(eye, rng, rng.normal(0, 0.6 if level == 3 else 1.4, 2), (1.5, 2.6, 4.2)[level - 1])


@_finding("cupping", "plan", ("disc",))
def _cupping(eye, rng, level, place):
    eye.cup = (0.56, 0.67, 0.78)[level - 1]
    eye.colours["cup"], eye.colours["rim"] = (255, 252, 234), (255, 188, 104)


@_finding("disc pallor", "plan", ("disc",))
def _pallor(eye, rng, level, place):
    mix = (0.5, 0.75, 1.0)[level - 1]
    for part in ("rim", "cup"):
        old = np.array(eye.colours[part])
        eye.colours[part] = tuple((old + mix * (np.array((255, 254, 250)) - old)).astype(int).tolist())
    eye.artery_width = 1 - 0.2 * mix


@_finding("disc oedema", "retina", ("disc",))
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


@_finding("cataract haze", "media", ("all over the picture",))
def _haze(eye, rng, level, place):
    blur = eye.image.filter(ImageFilter.GaussianBlur((0.35, 0.7, 1.1)[level - 1] * eye.scale))
    fog = Image.new("RGB", blur.size, tuple(int(v) for v in rng.normal((186, 146, 104), 6)))
    eye.image = Image.blend(blur, fog, (0.35, 0.5, 0.63)[level - 1])


@_finding("myopic crescent", "choroid", ("temporal to the disc",))
def _crescent(eye, rng, level, place):
    wide = (0.9, 1.7, 2.8)[level - 1]
    middle = eye.disc - [wide * 0.85, rng.normal(0, 0.3)]
    mask = eye.patch(eye.outline(rng, middle, eye.disc_radius + wide * 0.55, 0.05, corners=40))
    eye.paint(mask, (120, 60, 34), 0.6, 0.35)  # a rim of pigment
    eye.paint(mask, (255, 236, 200), 0.92, 0.05)


@_finding("tessellation", "choroid", ("posterior pole",))
def _tessellation(eye, rng, level, place):
    eye.paint(Image.new("L", eye.image.size, 255), (112, 40, 20), 0.12 + 0.12 * level)
    net = Image.fromarray((255 * eye.net).astype(np.uint8))
    eye.paint(net, (236, 128, 72), 0.25 + 0.15 * level)


@_finding("macular hole", "retina", ("macula",))
def _hole(eye, rng, level, place):
    radius = (0.75, 1.15, 1.6)[level - 1]
    eye.blobs(rng, [(0, 0)], radius * 1.9, (226, 160, 120), 0.7, 0.3, 0.03)
    eye.blobs(rng, [(0, 0)], radius, (122, 14, 12), 1, 0.08, 0.04)
    eye.blobs(rng, rng.normal(0, 0.4 * radius, (2 + level, 2)), 0.16, (250, 214, 110), 0.9, 0)


@_finding("epiretinal membrane", "retina", ("macula",))
def _membrane(eye, rng, level, place):
    reach, middle = (3.4, 4.6, 6.0)[level - 1], rng.normal(0, 0.7, 2)
    sheet = eye.patch(eye.outline(rng, middle, reach, 0.25, rng.uniform(0.7, 0.9)))
    eye.paint(sheet, (214, 204, 190), 0.2 + 0.08 * level, 0.9)
    # Folds run together where the sheet contracts; each is a bright ridge with a dark valley beside it.
    count = 12 + 5 * level
    main = rng.uniform(0, np.pi)
    heading = main + np.pi * rng.integers(0, 2, count) + rng.normal(0, 0.55, count)
    start = middle + rng.normal(0, 0.9, (count, 2))
    folds = _grow(rng, start, heading, reach * rng.uniform(0.5, 1.1, count), 10, 0.35)
    mask, draw = eye.mask()
    eye.strokes(draw, folds, 0.17)
    eye.paint(ImageChops.offset(mask, max(1, round(0.3 * eye.scale))), (104, 48, 32), 0.3 + 0.1 * level)
    eye.paint(mask, (250, 244, 230), 0.3 + 0.12 * level)
    for _ in range(2 + level):  # glints, as of cellophane
        point, radius = middle + rng.normal(0, reach * 0.4, 2), reach * rng.uniform(0.2, 0.35)
        eye.glow(point, radius, (255, 252, 240), 0.5, rng.uniform(0.3, 0.6))


@_finding("vein occlusion", "retina", QUADRANTS[:2])
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


@_finding("laser scars", "choroid", ("mid-periphery",))
def _laser(eye, rng, level, place):
    points = eye.spots(rng, place, (16, 40, 80)[level - 1])
    keep = [i for i, p in enumerate(points) if i == 0 or np.linalg.norm(points[:i] - p, axis=1).min() > 1.5]
    points, radius = points[keep], rng.uniform(0.6, 0.9, len(keep))
    eye.blobs(rng, points, radius * 1.15, (96, 44, 26), 0.7, 0.1, 0.08)
    eye.blobs(rng, points, radius, (246, 214, 160), 0.9, 0.08, 0.1)
    eye.blobs(rng, points, radius * rng.choice([0.15, 0.4, 0.55], len(points)), PIGMENT, 0.85, 0.06, 0.3)


@_finding("bone-spicule pigment", "choroid", ("mid-periphery",))
def _spicules(eye, rng, level, place):
    ring = Image.fromarray((np.clip(_radius(eye.n)[0] / eye.camera.zoom - 0.4, 0, 0.5) * 400).astype(np.uint8))
    eye.paint(ring, (116, 84, 70), 0.3 + 0.1 * level)
    eye.artery_width = 0.55
    points = eye.spots(rng, place, (22, 48, 90)[level - 1])
    mask, draw = eye.mask()
    arms = 4
    heading = (rng.uniform(0, 2 * np.pi, (len(points), 1)) + np.arange(arms) * 2 * np.pi / arms).ravel()
    length = rng.uniform(0.3, 1.8, len(heading))
    heading += rng.normal(0, 0.4, len(heading))
    eye.strokes(draw, _grow(rng, points.repeat(arms, 0), heading, length, 4, 0.5), 0.28)
    eye.paint(mask, PIGMENT, 0.95)


# Angiograms: what fills with dye is white.

@_finding("leakage", "media", ("macula", *QUADRANTS[:2]), "FFA")
def _leakage(eye, rng, level, place):
    for point in eye.spots(rng, place, level, 1):
        for _ in range(5):
            radius = rng.uniform(1.6, 2.6) + 0.3 * level
            eye.glow(point + rng.normal(0, 0.8, 2), radius, (250, 250, 250), 0.65, rng.uniform(0.7, 1))


@_finding("staining", "retina", ("macula", "posterior pole"), "FFA")
def _staining(eye, rng, level, place):
    points = eye.spots(rng, place, (2, 4, 7)[level - 1])
    eye.blobs(rng, points, rng.uniform(0.9, 1.7, len(points)), (236, 236, 236), 0.95, 0, 0.22)


@_finding("non-perfusion", "retina", QUADRANTS, "FFA")
def _nonperfusion(eye, rng, level, place):
    x, y, _ = PLACES[place]
    middle, reach = np.array([x, y * 1.15]) + rng.normal(0, 0.8, 2), (3.0, 4.5, 6.5)[level - 1]
    points = middle + rng.normal(0, 0.35 * reach, (5, 2))
    eye.blobs(rng, points, reach * rng.uniform(0.5, 0.85, 5), (18, 18, 18), 0.93, 0.3, 0.3)
    stumps, draw = eye.mask()  # pruned vessels at the border
    heading = rng.uniform(0, 2 * np.pi, 8)
    start = middle + reach * 1.1 * np.stack([np.cos(heading), np.sin(heading)], -1)
    eye.strokes(draw, _grow(rng, start, heading + np.pi, rng.uniform(0.8, 2, 8), 5, 0.3), 0.22)
    eye.paint(stumps, (230, 230, 230), 0.9)


# ---------------------------------------------------------------- the scan (OCT)

# Layers below the inner surface: thickness far from the fovea, thickness at the fovea (shares of the height), grey.
_LAYERS = ((0.045, 0.004, 170), (0.055, 0.008, 120), (0.05, 0.008, 82), (0.03, 0.012, 118), (0.075, 0.115, 60),
           (0.014, 0.016, 190), (0.022, 0.026, 96), (0.028, 0.028, 222))


class _Scan:
    """A cross-section of the macula, n x n pixels: `curves[k]` (n,) is the upper edge of layer k, in heights."""

    def __init__(self, size, nuisance):
        self.n, self.nuisance, self.extra = max(2 * size, 128), nuisance, []
        self.x = np.linspace(-1, 1, self.n) + nuisance["centre_y"] * 0.15
        rng = np.random.default_rng(nuisance["tree"])
        pit = np.exp(-((self.x / 0.24) ** 2))
        base = 0.62 + rng.normal(0, 0.02) + rng.normal(0, 0.03) * self.x + rng.uniform(0, 0.05) * self.x**2
        thickness = [far + (near - far) * pit for far, near, _ in _LAYERS]
        thickness = [t + 0.002 * np.sin(self.x * rng.uniform(4, 9) + rng.uniform(0, 6)) for t in thickness]
        self.curves = [base - sum(thickness[k:]) for k in range(len(_LAYERS))] + [base]

    def bump(self, at, wide, high):
        return high * np.exp(-(((self.x - at) / wide) ** 2))

    def lift(self, amount, last):
        """Push the edges 0..last up by `amount` (n,)."""
        for k in range(last + 1):
            self.curves[k] = self.curves[k] - amount

    def shape(self, points, grey):
        """Fill a closed outline [(x, y)], in widths and heights, after the layers are drawn."""
        outline = (np.asarray(points) * self.n).ravel().tolist()
        self.extra.append(lambda draw: draw.polygon(outline, fill=grey))

    def between(self, top, bottom, grey):
        """Fill what lies between two curves (n,), where the one is above the other by a pixel."""
        k = np.flatnonzero(bottom - top > 1 / self.n)
        x = np.r_[k, k[::-1]] / self.n
        if len(k) > 2:
            self.shape(np.stack([x, np.r_[top[k], bottom[k][::-1]]], -1), grey)

    def ellipse(self, x, y, w, h, grey=12):
        angle = np.linspace(0, 2 * np.pi, 24)
        self.shape(np.stack([x + w * np.cos(angle), y + h * np.sin(angle)], -1), grey)

    def line(self, curve, grey, width):
        points = np.stack([np.arange(self.n), curve * self.n], -1).ravel().tolist()
        self.extra.append(lambda draw: draw.line(points, fill=grey, width=max(1, round(width * self.n))))

    def render(self):
        n, rng = self.n, np.random.default_rng(self.nuisance["grain"])
        self.image = Image.new("L", (n, n), 14)
        draw = ImageDraw.Draw(self.image)
        xs = np.arange(n)
        edges = [*self.curves, np.full(n, 1.01)]
        for k, grey in enumerate([layer[2] for layer in _LAYERS] + [110]):
            top, bottom = edges[k] * n, edges[k + 1] * n
            draw.polygon(np.stack([np.r_[xs, xs[::-1]], np.r_[top, bottom[::-1]]], -1).ravel().tolist(), fill=grey)
        for paint in self.extra:
            paint(draw)
        grey = np.asarray(self.image.filter(ImageFilter.BoxBlur(n / 400)), np.float32)
        depth = np.clip((np.arange(n)[:, None] / n - self.curves[-1][None]) / 0.2, 0, 1)  # the choroid fades with depth
        shift_y, shift_x = (v % n for v in self.nuisance["shift"])
        mottle = _textures(n)[0][shift_y:shift_y + n, shift_x:shift_x + n]
        grey = grey * (1 - 0.75 * depth) * (1 + (depth > 0) * 0.35 * mottle)
        speckle = rng.standard_normal((n // 2, n // 2), np.float32).repeat(2, 0).repeat(2, 1)
        grey = grey * (1 + 0.22 * speckle[:n, :n]) + 7 * speckle[:n, :n]
        self.image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


@_finding("intraretinal fluid", "plan", ("macula",), "OCT")
def _cysts(scan, rng, level, place):
    at = rng.normal(0, 0.08)
    scan.lift(scan.bump(at, 0.35, 0.05 + 0.045 * level), 4)
    for _ in range((5, 9, 14)[level - 1]):
        x = at + rng.normal(0, 0.2)
        k = int(np.clip((x + 1) / 2 * scan.n, 0, scan.n - 1))
        top, bottom = scan.curves[2][k], scan.curves[5][k]
        y, h = top + (bottom - top) * rng.uniform(0.3, 0.7), (bottom - top) * rng.uniform(0.14, 0.36)
        scan.ellipse((k + 0.5) / scan.n, y, h * rng.uniform(0.5, 0.9), h)


@_finding("subretinal fluid", "plan", ("macula",), "OCT")
def _dome(scan, rng, level, place):
    x = scan.x - rng.normal(0, 0.08)
    dome = (0.035 + 0.045 * level) * np.clip(1 - (x / (0.3 + 0.1 * level)) ** 2, 0, 1) ** 1.2
    floor, roof = scan.curves[7].copy(), scan.curves[7] - dome
    scan.lift(dome, 6)
    scan.between(roof, floor, 10)


@_finding("drusen", "plan", ("macula",), "OCT")
def _scan_drusen(scan, rng, level, place):
    floor = scan.curves[-1].copy()
    for at in rng.uniform(-0.7, 0.7, (4, 7, 10)[level - 1]):
        amount = scan.bump(at, rng.uniform(0.04, 0.09), rng.uniform(0.02, 0.022 + 0.012 * level))
        scan.lift(0.3 * amount, 4)  # the inner layers are hardly moved
        for k in (5, 6, 7, 8):
            scan.curves[k] = scan.curves[k] - amount
    scan.between(scan.curves[-1], floor, 104)
    scan.line(floor, 190, 1 / 150)


@_finding("epiretinal membrane", "plan", ("macula",), "OCT")
def _scan_membrane(scan, rng, level, place):
    pit = np.exp(-((scan.x / 0.3) ** 2))
    scan.lift((0.02 + 0.035 * level) * pit, 4)  # the pit is pulled flat
    sheet = scan.curves[0] - 0.014
    folds = 0.007 * level * (1 + np.sin(scan.x * rng.uniform(34, 44) + rng.uniform(0, 6)))
    for k in range(3):
        scan.curves[k] = scan.curves[k] + folds * (1 - 0.3 * k)
    scan.line(sheet, 250, 1 / 70)


@_finding("macular hole", "plan", ("macula",), "OCT")
def _scan_hole(scan, rng, level, place):
    at, wide = rng.normal(0, 0.04), (0.07, 0.13, 0.2)[level - 1]
    scan.lift(scan.bump(at, 0.32, 0.10), 4)  # swollen edges
    k = int((at + 1) / 2 * scan.n)
    top, floor = scan.curves[0].min() - 0.03, scan.curves[7][k]
    w, c = wide / 2, (k + 0.5) / scan.n
    right = [(w * 1.25, top), (w * 0.75, (top + floor) / 2), (w * 1.25, floor)]
    for side in (-1, 1):
        for _ in range(2 + level):
            y = (scan.curves[2][k] + scan.curves[5][k]) / 2 + rng.normal(0, 0.02)
            scan.ellipse(c + side * (w * 1.2 + rng.uniform(0.015, 0.07)), y, 0.012, 0.018)
    scan.shape([(c + x, y) for x, y in right] + [(c - x, y) for x, y in right[::-1]], 14)


# ---------------------------------------------------------------- taking the picture

FINDINGS = {m: tuple(name for modality, name in _REGISTRY if modality == m) for m in CATEGORIES}


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
        r, y = _radius(size)
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
    subject = _Scan(size, nuisance) if modality == "OCT" else _Eye(modality, size, nuisance)

    def stage(name):
        for f in findings:
            at, _, function = _REGISTRY[modality, f.name]
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
    image = _expose(subject.image, _CAMERAS[nuisance["camera"]], nuisance, size, modality)
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
        places = _REGISTRY[modality, name][1]
        findings.append(Finding(name, SEVERITIES[level], places[rng.integers(len(places))]))
    return _draw(modality, category, findings, camera, seed, size)


def draw_finding(modality, finding, severity="moderate", seed=0, size=96, camera=None):
    """Draw one finding alone; its category is "". Raises InputError as `draw` does."""
    _check_all(modality, camera, size, seed)
    _check("finding", finding, FINDINGS[modality])
    _check("severity", severity, SEVERITIES)
    places = _REGISTRY[modality, finding][1]
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
    # Five bits a colour are enough to the eye, and keep the file small enough to commit.
    coarse = contact_sheet().point([v & 0xF8 for v in range(256)] * 3)
    coarse.save(sys.argv[1] if len(sys.argv) > 1 else "contact_sheet.png", optimize=True)
