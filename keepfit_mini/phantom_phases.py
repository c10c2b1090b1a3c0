"""Draws an angiogram study: several frames of one eye while the dye passes, and findings that evolve from frame to frame.

Early: arteries are bright, veins still dark. Arteriovenous: both are bright. Late: vessels fade and the disc stains.
Leakage grows and blurs, staining appears and keeps its size and its edge, microaneurysms fill with the veins, new vessels
are lace early and leak late, non-perfused retina is dark throughout. A study's places are so far apart, and its severities
so different in number and size, that both can be read off at 64 pixels.
Not here: the eye (phantom_eye.py), single pictures (phantom.py), words and files (drawn_studies.py).
"""

from dataclasses import dataclass

import numpy as np
from PIL import Image

from .config import InputError
from .phantom import FINDINGS, SEVERITIES, Finding, _check_all, _expose
from .phantom_eye import Eye, grow, nuisances
from .phantom_findings import QUADRANTS

PHASES = ("early", "arteriovenous", "late")

# Middle and half width, in degrees, of the places of a study; what is at the disc follows the eye's own.
PLACES = {"macula": (0, 0, 3.0), "superotemporal": (-3, 9.5, 3.6), "inferotemporal": (-3, -9.5, 3.6),
          "superonasal": (16, 10, 3.4), "inferonasal": (16, -9.5, 3.4)}
FINDING_PLACES = {"microaneurysms": ("macula", *QUADRANTS), "neovascularisation": ("disc", *QUADRANTS),
                  "leakage": ("macula", *QUADRANTS), "staining": ("macula", *QUADRANTS), "non-perfusion": QUADRANTS}

# The greys of a frame: background, fovea, disc and vessels.
GREYS = {
    "early": {"light": 46, "dark": 34, "macula": 10, "rim": 84, "cup": 66, "vein": 14, "artery": 226, "mottle": 0.2},
    "arteriovenous": {"light": 78, "dark": 56, "macula": 12, "rim": 158, "cup": 128, "vein": 226, "artery": 232, "mottle": 0.12},
    "late": {"light": 76, "dark": 58, "macula": 22, "rim": 214, "cup": 184, "vein": 116, "artery": 110, "mottle": 0.1},
}
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class StudyDrawing:
    """Frames of one eye (RGB, size x size pixels) in time order, the phase of each, and the truth about them."""

    frames: tuple[Image.Image, ...]
    phases: tuple[str, ...]
    findings: tuple[Finding, ...]
    camera: str
    eye: str


def phases_of(views):
    """The phases of `views` frames in time order: what is beyond three are more frames of the late phase."""
    if views < 3:
        return PHASES[1 : views + 1]
    return PHASES + ("late",) * (views - 3)


def _apart(rng, place, count, level):
    """`count` points (count, 2) at a place, in degrees: of a few tries each, the one farthest from those before.

    The higher the level, the wider they are strewn."""
    *middle, spread = PLACES[place]
    angle, r = rng.uniform(0, 2 * np.pi, (count, 6)), rng.uniform(0, 1, (count, 6)) ** 0.6
    r, points = r * spread * (0.55, 0.95, 1.35)[level - 1], []
    for tries in middle + rng.normal(0, 0.5, 2) + np.stack([r * np.cos(angle), r * np.sin(angle)], -1):
        nearest = [min((np.linalg.norm(p - q) for q in points), default=0) for p in tries]
        points.append(tries[np.argmax(nearest)])
    return np.array(points)


# Each finding: f(eye, rng, level 1 to 3, place) settles what is there, and returns what paints it in a phase. All chance
# is used up before the first frame: the next ones show the same thing.

def _nonperfusion(eye, rng, level, place):
    x, y, _ = PLACES[place]
    reach = (2.0, 3.7, 6.2)[level - 1]
    middle = np.array([x, y * (0.95 + 0.05 * level)]) + rng.normal(0, 0.5, 2)
    parts = middle + rng.normal(0, 0.3 * reach, (5, 2))
    outlines = eye.outline(rng, parts, reach * rng.uniform(0.55, 0.8, 5), 0.25, corners=32)
    heading = rng.uniform(0, 2 * np.pi, 8)
    start = middle + reach * 1.15 * np.stack([np.cos(heading), np.sin(heading)], -1)
    stumps = grow(rng, start, heading + np.pi, rng.uniform(0.8, 2, 8), 5, 0.3)

    def paint(phase):
        eye.paint(eye.patch(outlines), (10, 10, 10), 0.95, 0.25)
        mask, draw = eye.mask()
        eye.strokes(draw, stumps, 0.22)
        eye.paint(mask, (220, 220, 220), {"early": 0.5, "arteriovenous": 0.9, "late": 0.4}[phase])
    return paint


def _staining(eye, rng, level, place):
    points = _apart(rng, place, (2, 5, 11)[level - 1], level)
    outlines = eye.outline(rng, points, rng.uniform(0.85, 1.05, len(points)), 0.15)

    def paint(phase):
        eye.paint(eye.patch(outlines), (240, 240, 240), {"early": 0.1, "arteriovenous": 0.6, "late": 0.97}[phase])
    return paint


def _microaneurysms(eye, rng, level, place):
    points = _apart(rng, place, (3, 10, 30)[level - 1], level)
    outlines = eye.outline(rng, points, rng.uniform(0.42, 0.5, len(points)), 0.1, corners=10)

    def paint(phase):
        shine = {"early": 0.1, "arteriovenous": 1, "late": 0.8}[phase]
        eye.paint(eye.patch(outlines), WHITE, shine, 0.1 if phase == "late" else 0)
    return paint


def _new_vessels(eye, rng, level, place):
    middle = eye.disc if place == "disc" else np.array(PLACES[place][:2])
    middle = middle + rng.normal(0, 0.7, 2)
    reach, count = (1.9, 3.3, 5.4)[level - 1], (12, 18, 28)[level - 1]
    start = middle + rng.normal(0, 0.3, (count, 2))
    heading = np.linspace(0, 2 * np.pi, count) + rng.normal(0, 0.2, count)
    fronds = grow(rng, start, heading, reach * rng.uniform(0.75, 1.15, count), 14, 0.9)
    loops = eye.outline(rng, fronds[:, -1], 0.16 * reach, 0.3)
    loops = np.concatenate([loops, loops[:, :1]], 1)

    def paint(phase):
        cloud, strong = {"early": (0, 0), "arteriovenous": (1.0, 0.5), "late": (1.45, 0.95)}[phase]
        if cloud:
            eye.glow(middle, reach * cloud, WHITE, strong)
        mask, draw = eye.mask()
        eye.strokes(draw, fronds, 0.26)
        eye.strokes(draw, loops, 0.22)
        eye.paint(mask, WHITE, {"early": 0.95, "arteriovenous": 0.9, "late": 0.3}[phase])
    return paint


def _leakage(eye, rng, level, place):
    sources = _apart(rng, place, level, level)
    sources = (sources + sources.mean(0)) / 2  # near each other: one cloud in the end
    shape = [(point + rng.normal(0, 0.5, 2), rng.uniform(0.85, 1.15), rng.uniform(0.75, 1))
             for point in sources for _ in range(4)]
    reach = (1.7, 2.9, 4.6)[level - 1]

    def paint(phase):
        size, strong = {"early": (0.3, 0.2), "arteriovenous": (0.6, 0.5), "late": (1, 0.6)}[phase]
        for point, wide, squeeze in shape:
            eye.glow(point, reach * size * wide, (250, 250, 250), strong, squeeze)
    return paint


# In the order in which they are painted: what is dark lies under what is bright.
PLANS = {"non-perfusion": _nonperfusion, "staining": _staining, "microaneurysms": _microaneurysms,
         "neovascularisation": _new_vessels, "leakage": _leakage}


def _frame(eye, phase, paints):
    """The canvas of one frame."""
    eye.colours = {k: v if k == "mottle" else (v, v, v) for k, v in GREYS[phase].items()} | {"reflex": WHITE}
    if phase != "arteriovenous":
        eye.colours["reflex"] = eye.colours["artery"]
    eye.background()
    eye.disc_and_vessels()
    if phase == "early":  # lamellar flow: dye runs along the walls of the large veins first
        veins = eye.trunks[4:, :14]
        along = np.gradient(veins, axis=1)
        across = np.stack([-along[..., 1], along[..., 0]], -1) / np.linalg.norm(along, axis=-1, keepdims=True)
        mask, draw = eye.mask()
        eye.strokes(draw, np.concatenate([veins + 0.3 * across, veins - 0.3 * across]), 0.1)
        eye.paint(mask, (150, 150, 150), 0.7)
    for paint in paints:
        paint(phase)
    return eye.image


def draw_study(findings=(), seed=0, size=64, views=3, camera=None, phases=None):
    """Draw one study: `views` frames (size x size pixels) of the eye that belongs to a seed; same arguments, same pixels.

    findings  each name once, at one of its FINDING_PLACES
    camera    one of CAMERAS, or None: the seed chooses
    phases    the phase of each frame, instead of those that `views` gives (phases_of)
    InputError: views < 1, a finding, severity, place, camera or phase that does not exist, size < 16, seed < 0.
    """
    _check_all("FFA", camera, size, seed)
    phases = phases_of(views) if phases is None else tuple(phases)
    if views < 1 or not phases or set(phases) - set(PHASES):
        raise InputError(f"draw_study: views {views} must be at least 1, and phases {phases} some of {', '.join(PHASES)}")
    for f in findings:
        if f.place not in FINDING_PLACES.get(f.name, ()) or f.severity not in SEVERITIES:
            raise InputError(f"draw_study: no finding {f.name!r}, {f.severity!r} at {f.place!r}: see FINDING_PLACES")
    if len({f.name for f in findings}) < len(findings):
        raise InputError("draw_study: a finding stands twice: give each name once")
    base = nuisances(seed, camera)
    base["centre_x"] = 6 + 0.3 * (base["centre_x"] - 4.5)  # the nasal quadrants are in view
    eye, paints = Eye("FFA", size, base), []
    found = {f.name: f for f in findings}
    for name in [name for name in PLANS if name in found]:
        rng = np.random.default_rng([seed, 3, FINDINGS["FFA"].index(name)])  # a stream each: others do not move it
        paints.append(PLANS[name](eye, rng, SEVERITIES.index(found[name].severity) + 1, found[name].place))
    shots, frames = np.random.default_rng([seed, 5]), []
    for phase in phases:  # the eye and the camera's light move a little from frame to frame
        x, y, light_x, light_y, bright = shots.normal(0, (0.6, 0.4, 0.03, 0.03, 0.04))
        nuisance = base | {"light_x": base["light_x"] + light_x, "light_y": base["light_y"] + light_y,
                           "brightness": base["brightness"] * (1 + bright), "grain": int(shots.integers(1 << 30))}
        eye.centre = np.array([base["centre_x"] + x, base["centre_y"] + y])
        frames.append(_expose(_frame(eye, phase, paints), eye.camera, nuisance, size, "FFA"))
    return StudyDrawing(tuple(frames), phases, tuple(findings), base["camera"], base["eye"])
