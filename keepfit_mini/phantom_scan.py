"""The scan (OCT) that phantom.py draws: layers as curves, and findings f(scan, rng, level 1 to 3, place) that bend them."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from .phantom_eye import textures
from .phantom_findings import finding

# Layers below the inner surface: thickness far from the fovea, thickness at the fovea (shares of the height), grey.
_LAYERS = ((0.045, 0.004, 170), (0.055, 0.008, 120), (0.05, 0.008, 82), (0.03, 0.012, 118), (0.075, 0.115, 60),
           (0.014, 0.016, 190), (0.022, 0.026, 96), (0.028, 0.028, 222))


class Scan:
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
        mottle = textures(n)[0][shift_y:shift_y + n, shift_x:shift_x + n]
        grey = grey * (1 - 0.75 * depth) * (1 + (depth > 0) * 0.35 * mottle)
        speckle = rng.standard_normal((n // 2, n // 2), np.float32).repeat(2, 0).repeat(2, 1)
        grey = grey * (1 + 0.22 * speckle[:n, :n]) + 7 * speckle[:n, :n]
        self.image = Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)).convert("RGB")


@finding("intraretinal fluid", "plan", ("macula",), "OCT")
def _cysts(scan, rng, level, place):
    at = rng.normal(0, 0.08)
    scan.lift(scan.bump(at, 0.35, 0.05 + 0.045 * level), 4)
    for _ in range((5, 9, 14)[level - 1]):
        x = at + rng.normal(0, 0.2)
        k = int(np.clip((x + 1) / 2 * scan.n, 0, scan.n - 1))
        top, bottom = scan.curves[2][k], scan.curves[5][k]
        y, h = top + (bottom - top) * rng.uniform(0.3, 0.7), (bottom - top) * rng.uniform(0.14, 0.36)
        scan.ellipse((k + 0.5) / scan.n, y, h * rng.uniform(0.5, 0.9), h)


@finding("subretinal fluid", "plan", ("macula",), "OCT")
def _dome(scan, rng, level, place):
    x = scan.x - rng.normal(0, 0.08)
    dome = (0.035 + 0.045 * level) * np.clip(1 - (x / (0.3 + 0.1 * level)) ** 2, 0, 1) ** 1.2
    floor, roof = scan.curves[7].copy(), scan.curves[7] - dome
    scan.lift(dome, 6)
    scan.between(roof, floor, 10)


@finding("drusen", "plan", ("macula",), "OCT")
def _scan_drusen(scan, rng, level, place):
    floor = scan.curves[-1].copy()
    for at in rng.uniform(-0.7, 0.7, (4, 7, 10)[level - 1]):
        amount = scan.bump(at, rng.uniform(0.04, 0.09), rng.uniform(0.02, 0.022 + 0.012 * level))
        scan.lift(0.3 * amount, 4)  # the inner layers are hardly moved
        for k in (5, 6, 7, 8):
            scan.curves[k] = scan.curves[k] - amount
    scan.between(scan.curves[-1], floor, 104)
    scan.line(floor, 190, 1 / 150)


@finding("epiretinal membrane", "plan", ("macula",), "OCT")
def _scan_membrane(scan, rng, level, place):
    pit = np.exp(-((scan.x / 0.3) ** 2))
    scan.lift((0.02 + 0.035 * level) * pit, 4)  # the pit is pulled flat
    sheet = scan.curves[0] - 0.014
    folds = 0.007 * level * (1 + np.sin(scan.x * rng.uniform(34, 44) + rng.uniform(0, 6)))
    for k in range(3):
        scan.curves[k] = scan.curves[k] + folds * (1 - 0.3 * k)
    scan.line(sheet, 250, 1 / 70)


@finding("macular hole", "plan", ("macula",), "OCT")
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
