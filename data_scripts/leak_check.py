"""What manifests share, two by two: file names, bytes, near-equal pictures, patients.

    python data_scripts/leak_check.py public.csv test.csv
    python data_scripts/leak_check.py train.csv val.csv test.csv --out leaks.csv --fail
    python data_scripts/leak_check.py odir.csv aptos.csv --calibrate results/leaks.json

Pictures that are absent are compared by name and patient only, which is said. Near-equal pictures are found by the ImageHash
library on the square inside the retina disc. --calibrate takes two sets that share nothing and measures, for each kind and size
of hash, how many pairs a distance would call near by mistake and how many re-saved copies it would find. The exit code is 0, or
with --fail 1 if anything is shared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from pathlib import Path

import pandas as pd

from keepfit_mini.config import InputError, script, write_aside
from keepfit_mini.leaks import HASHES, Likeness, Pictures, calibrate, leaks, summary


@script
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+", help="two manifests or more")
    parser.add_argument("--out", type=Path, help="CSV of the pairs to write")
    parser.add_argument("--fail", action="store_true", help="exit with 1 if anything is shared")
    parser.add_argument("--no-near", action="store_true", help="do not look for near-equal pictures")
    parser.add_argument("--hash", choices=HASHES, default=Likeness.kind, help="perceptual hash (default %(default)s)")
    parser.add_argument("--hash-size", type=int, default=Likeness.hash_size, help="its side in bits (default %(default)s)")
    parser.add_argument("--distance", type=int, default=Likeness.distance, help="bits that may differ (default %(default)s)")
    parser.add_argument("--patient-column", help="where the patient stands (default: `patient`)")
    parser.add_argument("--patient-pattern", help=r"or a regular expression for the file name, like '^(\d+)_(?:left|right)'")
    parser.add_argument("--root", type=Path, help="a folder under which pictures may lie, beside the manifest's own")
    parser.add_argument("--calibrate", type=Path, metavar="FILE.json", help="measure the hashes on two sets that share nothing")
    args = parser.parse_args(arguments)
    if len(args.manifests) < 2:
        raise InputError("one manifest shares nothing with itself: give two or more")
    likeness = None if args.no_near else Likeness(args.hash, args.hash_size, args.distance)
    sets = [Pictures(path, args.root, args.patient_column, args.patient_pattern) for path in args.manifests]
    if args.calibrate:
        rows = calibrate(*sets[:2])
        command = f"python data_scripts/leak_check.py {' '.join(p.name for p in args.manifests[:2])} --calibrate FILE.json"
        write_aside(args.calibrate, json.dumps({"command": command, "rows": rows}, indent=1) + "\n")
        print(pd.DataFrame(rows).to_string(index=False))
        return 0
    found = []
    for a, b in itertools.combinations(sets, 2):
        pairs = leaks(a, b, likeness)
        print(summary(a, b, pairs, likeness))
        found.append(pairs.assign(a=str(a.path), b=str(b.path)))
    pairs = pd.concat(found, ignore_index=True)
    if args.out:
        write_aside(args.out, pairs.to_csv(index=False))
        print(f"{len(pairs)} pairs: {args.out}")
    return 1 if args.fail and len(pairs) else 0


if __name__ == "__main__":
    sys.exit(main())
