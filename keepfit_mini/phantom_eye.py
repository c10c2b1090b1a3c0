"""The eye that phantom.py draws: its vessels, disc and background, its nuisances, and the canvas that findings paint on.

An eye is described in degrees of visual angle: the fovea at (0, 0), x towards the nose, y up, the disc near (15, 1.5).
Not here: findings (phantom_findings.py) and scans (phantom_scan.py).
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from scipy.ndimage import gaussian_filter


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


CAMERA_STYLES = {
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
CAMERAS = tuple(CAMERA_STYLES)

# Centre and spread, in degrees, of the places that findings lie in; the disc and the mid-periphery depend on the eye.
PLACES = {"macula": (0, 0, 3.0), "posterior pole": (2, 0, 7.5), "superotemporal": (-2, 9, 3.5),
          "inferotemporal": (-2, -9, 3.5), "superonasal": (17, 10, 3.0), "inferonasal": (17, -9, 3.0)}
QUADRANTS = ("superotemporal", "inferotemporal", "superonasal", "inferonasal")


@lru_cache(maxsize=8)
def textures(n):
    """Choroid mottling (2n, 2n) about 0, and a net of choroidal vessels (2n, 2n) in [0, 1]; a picture shows a crop."""
    rng = np.random.default_rng(5)

    def noise(sigma):
        field = gaussian_filter(rng.standard_normal((512, 512)).astype(np.float32), sigma, mode="wrap")
        return field / field.std()
    mottle = 0.5 * noise(24) + 0.35 * noise(8) + 0.3 * noise(2.5)
    net = sum(0.7 * np.exp(-((noise(sigma) / 0.35) ** 2)) for sigma in ((5, 14), (7, 12), (10, 6))).clip(0, 1)
    return tuple(np.asarray(Image.fromarray(t).resize((2 * n, 2 * n), Image.BILINEAR)) for t in (mottle, net))


@lru_cache(maxsize=8)
def radius_grid(size):
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


def grow(rng, start, heading, length, steps, wiggle):
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
        return which, grow(rng, parents[which, at], np.arctan2(ahead[:, 1], ahead[:, 0]) + turn, reach, steps, 0.35)
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
PALETTE = {
    "CFP": {"light": (208, 116, 66), "dark": (158, 66, 30), "macula": (92, 28, 14), "rim": (246, 178, 102),
            "cup": (255, 238, 186), "vein": (112, 22, 20), "artery": (160, 40, 28), "reflex": (226, 140, 104),
            "mottle": 0.06},
    "FFA": {"light": (84, 84, 84), "dark": (58, 58, 58), "macula": (14, 14, 14), "rim": (186, 186, 186),
            "cup": (150, 150, 150), "vein": (226, 226, 226), "artery": (238, 238, 238), "reflex": (255, 255, 255),
            "mottle": 0.12},
}


class Eye:
    """A canvas at twice the picture's size (n x n pixels), and what is needed to paint on it in degrees."""

    def __init__(self, modality, size, nuisance):
        self.n, self.modality, self.colours = max(2 * size, 128), modality, dict(PALETTE.get(modality, {}))
        self.nuisance, self.camera = nuisance, CAMERA_STYLES[nuisance["camera"]]
        self.scale = self.n / 2 * self.camera.zoom / self.camera.field  # pixels a degree
        self.side = 1 if nuisance["eye"] == "right" else -1
        self.centre = np.array([nuisance["centre_x"], nuisance["centre_y"]])
        self.disc, self.disc_radius = np.array([nuisance["disc_x"], nuisance["disc_y"]]), nuisance["disc_radius"]
        self.cup, self.artery_width = nuisance["cup"], 1.0
        self.tree, self.trunks = _vessel_tree(np.random.default_rng(nuisance["tree"]), self.disc)
        x, y = (v % self.n for v in nuisance["shift"])
        self.mottle, self.net = (t[y:y + self.n, x:x + self.n] for t in textures(self.n))

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
