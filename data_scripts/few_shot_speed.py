"""How much sooner is a few-shot grid when features are computed once? 4 protocols, 1/5/10/20%/all shots, 5 folds, 3 sets.

    python data_scripts/few_shot_speed.py --run runs/mini --out results/few_shot_speed.json

Ours     kf.few_shot for the whole grid: each picture goes through the encoder once, in batches, then adapters learn from what
         is kept, in full batches. Timed from an empty cache: reading, encoding, choosing settings, intervals, everything.
Theirs   as the authors' code goes about it: for every protocol, number of shots and fold the pictures go through the encoder
         one at a time, and adapters learn from one shot a step (adapt(published=True)). Timed on fold 0 of unseen_odir for
         each protocol and number of shots, then multiplied by folds and sets: the three sets are of one size.
The sets are the drawn ones (drawn_sets.py); any finished run will do.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

import keepfit_mini as kf
from keepfit_mini.adapters import PROTOCOLS
from keepfit_mini.config import script, write_aside
from keepfit_mini.demo import UNSEEN
from keepfit_mini.drawn_sets import draw_sets
from keepfit_mini.zero_shot import labelled_rows

SHOTS, FOLDS, TIMED = (1, 5, 10, "20%", "all"), 5, "unseen_odir"


def time_ours(model: kf.KeepFIT, data: dict[str, Path], cache: Path) -> tuple[float, dict]:
    """Seconds of the whole grid, from an empty cache, and the ACA of each cell."""
    begin, aca = time.perf_counter(), {}
    for name, (classes, _) in UNSEEN.items():
        for protocol in PROTOCOLS:
            for shots in SHOTS:
                result = kf.few_shot(model, data[name], classes, protocol, shots, FOLDS, cache=cache, progress=False)
                aca[f"{name} {protocol} {shots}"] = round(result["metrics"]["aca"], 3)
    return time.perf_counter() - begin, aca


def time_theirs(model: kf.KeepFIT, manifest: Path, classes: list[str], protocol: str, shots: int | str) -> float:
    """Seconds of one fold of one set, each picture through the encoder on its own."""
    begin = time.perf_counter()
    frame, truth, _ = labelled_rows(manifest, classes)
    train, test = kf.split(truth, shots, fold=0)
    kind, text = ("features", None) if protocol == "linear-probe" else ("vectors", kf.class_vectors(model, classes))
    seed = 0 if protocol.startswith("tip-adapter") else None  # their Tip-Adapters see test pictures augmented at random
    x, asked = (
        kf.picture_features(model, frame["image"][rows].tolist(), batch_size=1, progress=False, augment_seed=augment)[kind]
        for rows, augment in ((train, None), (test, seed))
    )
    kf.adapt(protocol, x, truth[train], asked, text, model.scale, published=True)
    return time.perf_counter() - begin


@script
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", required=True, help="a finished run")
    parser.add_argument("--images", type=int, default=1500, help="as of `draw`: an eighth of it is a set's size, at least 24")
    parser.add_argument("--size", type=int, default=64, help="pixels a side of the drawn pictures")
    parser.add_argument("--out", type=Path, default=Path("results/few_shot_speed.json"))
    args = parser.parse_args()
    model = kf.KeepFIT.from_pretrained(args.run)
    with tempfile.TemporaryDirectory() as folder:
        data = draw_sets(Path(folder) / "data", images=args.images, size=args.size, progress=False)
        classes = UNSEEN[TIMED][0]
        pictures = {name: len(kf.read_manifest(data[name])) for name in UNSEEN}
        time_theirs(model, data[TIMED], classes, "linear-probe", 1)  # both sides start warm
        ours, aca = time_ours(model, data, Path(folder) / "features")
        theirs = {}
        for protocol in PROTOCOLS:
            for shots in SHOTS:
                theirs[f"{protocol} {shots}"] = round(time_theirs(model, data[TIMED], classes, protocol, shots), 3)
                print(f"theirs, one fold: {protocol}, {shots} shots: {theirs[f'{protocol} {shots}']} s", flush=True)
    whole = sum(theirs.values()) * FOLDS * len(UNSEEN)
    value = {
        "command": f"python data_scripts/few_shot_speed.py --run {args.run} --images {args.images} --size {args.size}",
        "grid": {"protocols": PROTOCOLS, "shots": SHOTS, "folds": FOLDS, "sets": list(UNSEEN)},
        "pictures": pictures,
        "ours_seconds": round(ours, 2),
        "theirs_seconds": round(whole, 1),
        "ratio": round(whole / ours, 1),
        "how_theirs_was_timed": f"fold 0 of {TIMED} for each protocol and number of shots, multiplied by {FOLDS} folds and "
        f"{len(UNSEEN)} sets; not run in full",
        "theirs_seconds_one_fold": theirs,
        "ours_aca": aca,
        "threads": torch.get_num_threads(),
        "load_at_the_end": [round(load, 2) for load in os.getloadavg()],
    }
    write_aside(args.out, json.dumps(value, indent=2) + "\n")
    print(f"ours {ours:.1f} s, theirs {whole:.0f} s (one fold of one set, multiplied): {whole / ours:.0f} times; {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
