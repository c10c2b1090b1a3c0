"""An original data set -> a manifest of pictures at one size: disc cropped, shorter side scaled, JPEG.

    python data_scripts/prepare.py downloads/cataract --out data/cataract
    python data_scripts/prepare.py downloads/aptos/train_images --out data/aptos --csv downloads/aptos/train.csv \\
        --image-column id_code --label-column diagnosis --workers 2
    python data_scripts/prepare.py --measure 500 1500 3000 --workers 2 --report results/prepare.json

Without --csv each picture is labelled by the folder that it lies in. A second run makes only what is missing; the manifest is
written last. --measure draws photographs of its own (1,500 pixels, black border, text in a corner), prepares them in a fresh
process for each number, and writes pictures a second, the peak of memory of all processes, and how many cores others kept busy
meanwhile (`cores_busy_with_others`; `load_before` is the minute before, in which the run before this one counts too).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from keepfit_mini.config import InputError, script, versions, write_aside
from keepfit_mini.memory import tree_mb
from keepfit_mini.preparing import Settings, prepare


def draw_originals(folder: Path, count: int) -> None:
    """Photographs as cameras save them: `count` names for 50 drawn pictures of 2,000 x 1,500 pixels."""
    from PIL import Image, ImageDraw

    from keepfit_mini.phantom import draw

    folder.mkdir()
    for i in range(min(50, count)):
        disc = draw("CFP", seed=i, size=320).image.resize((1440, 1440), Image.Resampling.BICUBIC)
        picture = Image.new("RGB", (2000, 1500), (3, 3, 3))
        picture.paste(disc, (280, 30))
        ImageDraw.Draw(picture).text((20, 20), f"eye {i}", fill="white")
        picture.save(folder / f"{i:05d}.jpg", quality=92)
    for i in range(50, count):
        os.link(folder / f"{i % 50:05d}.jpg", folder / f"{i:05d}.jpg")


def measure_one(folder: Path, out: Path, workers: int) -> dict:
    """Prepare the folder; seconds, and the peak of memory looked at four times a second."""
    peak, done = [tree_mb()], threading.Event()

    def look() -> None:
        while not done.wait(0.25):
            peak[0] = max(peak[0], tree_mb())

    watcher = threading.Thread(target=look)
    watcher.start()
    start = time.perf_counter()
    try:
        made = prepare(folder, out, workers=workers, progress=False)["made"]
    finally:
        done.set()
        watcher.join()
    seconds = time.perf_counter() - start
    return {"pictures": made, "seconds": round(seconds, 1), "pictures_per_second": round(made / seconds, 1),
            "peak_mb_all_processes": round(peak[0])}  # fmt: skip


def busy_seconds() -> float:
    """Seconds that all cores of the machine have worked since it started (Linux), whoever for."""
    user, nice, system, _, _, *interrupts = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:8])
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """The part of them that this process and the ended ones below it took."""
    return sum(os.times()[:4])


def measure(counts: list[int], workers: int, report: Path | None) -> None:
    rows = []
    for count in counts:
        with tempfile.TemporaryDirectory() as folder:
            draw_originals(Path(folder) / "in", count)
            load, busy, own, start = os.getloadavg()[0], busy_seconds(), own_seconds(), time.perf_counter()
            command = [sys.executable, __file__, f"{folder}/in", "--out", f"{folder}/out", "--workers", str(workers), "--time"]
            result = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
            others = (busy_seconds() - busy - (own_seconds() - own)) / (time.perf_counter() - start)
            rows.append({**json.loads(result.stdout), "load_before": round(load, 1), "cores_busy_with_others": round(others, 2)})
        print(rows[-1], flush=True)
    command = f"python data_scripts/prepare.py --measure {' '.join(map(str, counts))} --workers {workers} --report {report}"
    value = {"command": command, "originals": "2000 x 1500, JPEG 92", "size": Settings().size, "workers": workers,
             "cores": os.cpu_count(), "rows": rows, "versions": versions()}  # fmt: skip
    if report:
        write_aside(report, json.dumps(value, indent=2) + "\n")


@script
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, nargs="?", help="folder of the original pictures")
    parser.add_argument("--out", type=Path, help="folder to write: manifest.csv and pictures/")
    parser.add_argument("--size", type=int, default=512, help="pixels of the shorter side (default 512)")
    parser.add_argument("--quality", type=int, default=95, help="of the JPEGs, 1 to 100 (default 95)")
    parser.add_argument("--keep-border", action="store_true", help="do not crop to the retina disc")
    parser.add_argument("--csv", type=Path, help="the set's table: only the pictures that it names")
    for what in ("image", "label", "text", "patient"):
        parser.add_argument(f"--{what}-column", metavar="NAME", help=f"the table's column of the {what}")
    parser.add_argument("--merge", action="store_true", help="join the labels of a picture that stands in several rows")
    parser.add_argument("--modality", default="CFP", help="CFP, FFA, OCT or other (default CFP)")
    parser.add_argument("--name", help="the manifest's `source` (default: the folder's name)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: as many as cores)")
    parser.add_argument("--max-bad", type=float, default=0.01, help="share of pictures that may not decode (default 0.01)")
    parser.add_argument("--measure", type=int, nargs="+", metavar="N", help="time N drawn photographs instead")
    parser.add_argument("--report", type=Path, help="JSON file for --measure")
    parser.add_argument("--time", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.measure:
        measure(args.measure, args.workers, args.report)
        return 0
    if args.source is None or args.out is None:
        raise InputError("give the folder of the original pictures and --out FOLDER (--help shows examples)")
    if args.time:
        print(json.dumps(measure_one(args.source, args.out, args.workers)))
        return 0
    names = {"image": args.image_column, "label": args.label_column, "text": args.text_column, "patient": args.patient_column}
    columns = {what: name for what, name in names.items() if name}
    if columns and not args.csv:
        raise InputError("columns are named, but no table: give --csv FILE")
    done = prepare(
        args.source, args.out, Settings(args.size, args.quality, not args.keep_border), args.csv, columns, merge=args.merge,
        modality=args.modality, name=args.name, workers=args.workers, max_bad=args.max_bad,
    )  # fmt: skip
    print(f"{done['made']} pictures made, {done['kept']} kept, {done['bad']} passed over")
    print(f"{done['rows']} rows: {args.out / 'manifest.csv'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
