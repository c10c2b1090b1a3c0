"""How often are the two ways of naming a picture's modality right (paper section 2, step 3)? keepfit_mini/modality.py

    python data_scripts/modality_scores.py --out results/modality.json

On drawn pictures (all categories, all cameras, 64 to 256 pixels) and, where KEEPFIT_DATA names the folder, on its real ones.
Thresholds were chosen on the even rows and on drawings of other seeds; what is printed comes from the odd rows, as they are and
as a book prints them: resized to 64-512 pixels, JPEG quality 35-95, and one of tint, pale, grey, cropped, white margin, inverted,
false colours. Not about: finding pictures on pages.
"""

import argparse
import io
import json
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageOps

import keepfit_mini as kf
from keepfit_mini import phantom
from keepfit_mini.config import script, write_aside
from keepfit_mini.modality import by_clusters, classify, shrink

COMMAND = "python data_scripts/modality_scores.py --out results/modality.json"
SIZES = (64, 96, 128, 192, 256)
TINTS = ((1, 0.88, 0.68), (0.75, 1, 0.8), (0.75, 0.85, 1))  # sepia, green, blue
PRINTS = {
    "CFP": ("resized", "pale", "grey", "cropped", "margin"),
    "FFA": ("resized", "tint", "cropped", "margin"),
    "OCT": ("resized", "inverted", "false colours", "cropped", "margin"),
    "other": ("resized", "margin"),
}


def drawn(count: int) -> Iterator[tuple[str, Image.Image]]:
    """`count` drawings of each modality; their seeds were not used to choose thresholds."""
    for modality, categories in phantom.CATEGORIES.items():
        for i in range(count):
            camera, size = phantom.CAMERAS[i % len(phantom.CAMERAS)], SIZES[i % len(SIZES)]
            yield modality, phantom.draw(modality, list(categories)[i % len(categories)], camera, 400_000 + i, size).image


def real(path: Path) -> Iterator[tuple[str, Image.Image]]:
    """The odd rows of a manifest: modality and picture."""
    frame = kf.read_manifest(path).iloc[1::2]
    for modality, image in zip(frame["modality"], frame["image"], strict=True):
        with Image.open(image) as picture:
            yield modality, picture.convert("RGB")


def printed(image: Image.Image, how: str, rng: np.random.Generator) -> Image.Image:
    """The picture as a book may show it."""
    grey = ImageOps.grayscale(image)
    if how == "tint":
        ink = 1 - (1 - np.array(TINTS[rng.integers(3)])) * rng.uniform(0.4, 1)
        image = Image.fromarray((np.asarray(grey)[..., None] * ink).astype(np.uint8))
    elif how == "pale":
        image = Image.blend(grey.convert("RGB"), image, rng.uniform(0.25, 0.5)).point(lambda value: int(value * 0.8 + 45))
    elif how == "grey":
        image = grey.convert("RGB")
    elif how == "inverted":
        image = ImageOps.invert(image)
    elif how == "false colours":
        colours = matplotlib.colormaps[("jet", "hot", "viridis")[rng.integers(3)]]
        image = Image.fromarray(colours(np.asarray(grey), bytes=True)[..., :3])
    elif how == "cropped":
        image = ImageOps.crop(image, int(min(image.size) * rng.uniform(0.12, 0.2)))
    elif how == "margin":
        image = ImageOps.expand(image, int(rng.integers(3, 40)), "white")
    scale = rng.integers(64, 513) / max(image.size)
    stream = io.BytesIO()
    image.resize([max(8, round(n * scale)) for n in image.size]).save(stream, "JPEG", quality=int(rng.integers(35, 95)))
    return Image.open(stream).convert("RGB")


def wilson(right: int, count: int) -> list[float]:
    """95% interval of a share (Wilson's score)."""
    z, p = 1.959964, right / count
    middle, half = p + z * z / (2 * count), z * (p * (1 - p) / count + z * z / (4 * count**2)) ** 0.5
    return [round((middle + sign * half) / (1 + z * z / count), 4) for sign in (-1, 1)]


def score(rows: list[tuple], way: str) -> dict:
    """(truth, name, confidence) -> counts, share right with its interval, what they are called, and what was flagged."""
    right = sum(truth == name for truth, name, _ in rows)
    cell = {"right": right, "count": len(rows), "share": round(right / len(rows), 4), "wilson95": wilson(right, len(rows)),
            "called": dict(Counter(name for _, name, _ in rows).most_common())}  # fmt: skip
    if way == "measured":
        cell["wrong_and_sure"] = sum(truth != name and sure >= 0.5 for truth, name, sure in rows)
        cell["right_but_flagged"] = sum(truth == name and sure < 0.5 for truth, name, sure in rows)
    return cell


@script
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=300, help="drawings of each modality")
    parser.add_argument("--out", type=Path, default=Path("results/modality.json"), help="file to write")
    parser.add_argument("--mistakes", type=Path, help="contact sheet of the pictures that `classify` got wrong, to make")
    args = parser.parse_args()
    sources = {"drawn": lambda: drawn(args.count)}
    folder = os.environ.get("KEEPFIT_DATA")
    if args.count < 1:
        raise kf.InputError("--count must be at least 1")
    for path in sorted(Path(folder).glob("*.csv")) if folder else ():
        if not path.name.startswith("mm_retinal"):  # captions without pictures
            sources[path.stem] = lambda path=path: real(path)
    if len(sources) == 1:
        print("KEEPFIT_DATA is unset or holds no manifest: drawn pictures only")
    result = run(sources, args.mistakes)
    write_aside(args.out, json.dumps({"command": COMMAND, "drawn_of_each": args.count, **result}, indent=1) + "\n")
    return 0


def run(sources: dict, sheet: Path | None) -> dict:
    measured, small, mistakes, seconds = {}, [], [], 0.0
    for source, pictures in sources.items():
        for i, (truth, image) in enumerate(pictures()):
            rng = np.random.default_rng(i)
            ways = ["as it is", PRINTS[truth][i % len(PRINTS[truth])]]
            for how in ways:
                one = image if how == "as it is" else printed(image, how, rng)
                begin = time.perf_counter()
                name, sure, _ = classify(one)
                seconds += time.perf_counter() - begin
                group = "drawn" if source == "drawn" else "real"
                for key in {(source, truth, how), (group, truth, how)}:
                    measured.setdefault(key, []).append((truth, name, sure))
                small.append((source, group, truth, how, shrink(one)))
                if name != truth and how != "grey":
                    mistakes.append((source, how, truth, name, one))
    references = {name: phantom.draw(name, "normal", "amber", 7, 256).image for name in phantom.CATEGORIES}
    names, _, _ = by_clusters([row[4] for row in small], references)
    paper = {}
    for (source, group, truth, how, _), name in zip(small, names, strict=True):
        for key in {(source, truth, how), (group, truth, how)}:
            paper.setdefault(key, []).append((truth, name, 1.0))
    table = {}
    for key in sorted(measured):
        cell = table[" | ".join(key)] = {"measured": score(measured[key], "measured"), "paper": score(paper[key], "paper")}
        ours, theirs = cell["measured"], cell["paper"]
        print(f"{' | '.join(key):38} measured {ours['share']:.3f} {ours['wilson95']} paper {theirs['share']:.3f} "
              f"{theirs['wilson95']} of {ours['count']}, called {ours['called']}")  # fmt: skip
    if sheet and mistakes:
        page = Image.new("RGB", (12 * 130, -(-len(mistakes) // 12) * 130), "magenta")
        for i, (*what, image) in enumerate(mistakes):
            image.thumbnail((126, 126))
            page.paste(image, (i % 12 * 130, i // 12 * 130))
            print(i // 12 + 1, i % 12 + 1, *what)
        page.save(sheet)
    speed = {"pictures_per_second": round(len(small) / seconds, 1), "peak_memory_of_this_script_mb":
             resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}  # fmt: skip
    print(speed)
    return {"rows": "odd rows; thresholds were chosen on the even ones", "real": len(sources) > 1, **speed, "table": table}


if __name__ == "__main__":
    sys.exit(main())
