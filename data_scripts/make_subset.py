"""A small set out of large ones: one modality, n pictures a finding, no patient and no book figure in two splits.

    python data_scripts/make_subset.py public.csv --out small.csv --per-finding 50 --findings glaucoma "amd=drusen|late amd"
    python data_scripts/make_subset.py atlas/manifest.csv --out small --modality FFA --splits train=0.8 test=0.2 --copy

A finding is a label, or a word in the caption of a row without labels; after = come other words for it, with | between them.
Rows of one patient (column `patient`, or a name like 123_left.jpg) and of one `figure` or `page` of a book stay together.
Pictures stay where they are unless --copy is given; so the manifest has to lie above them, or they under KEEPFIT_DATA or
--root. Two sets may hold the same picture under two names: see leak_check.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from keepfit_mini.config import InputError, script
from keepfit_mini.subset import SHARES, choose, counts, read_sources, split_groups, write_subset


def read_shares(words: list[str] | None) -> dict[str, float]:
    """["train=0.8", "test=0.2"] -> {"train": 0.8, "test": 0.2}."""
    try:
        shares = {name: float(share) for name, share in (word.split("=") for word in words or [])}
    except ValueError as error:
        raise InputError(f"--splits {' '.join(words or [])}: give them like train=0.8 test=0.2") from error
    if any(not name.isidentifier() for name in shares):
        raise InputError(f"--splits {' '.join(words or [])}: names are letters, digits and _")
    return shares or SHARES


@script
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", type=Path, nargs="+", help="manifests to choose from")
    parser.add_argument("--out", type=Path, required=True, help="folder to make, or FILE.csv above the pictures")
    parser.add_argument("--modality", default="CFP", help="CFP, FFA, OCT, other, or all (default CFP)")
    parser.add_argument("--findings", nargs="+", default=[], metavar="NAME[=WORD|WORD]", help="default: every label")
    parser.add_argument("--per-finding", type=int, metavar="N", help="rows of each (default: all)")
    parser.add_argument("--captions", action="store_true", help="look in the captions of rows with labels too")
    parser.add_argument("--splits", nargs="+", metavar="NAME=SHARE", help="default train=0.7 val=0.1 test=0.2")
    parser.add_argument("--seed", type=int, default=0, help="chooses rows and splits (default 0)")
    parser.add_argument("--separate", action="store_true", help="one manifest a split instead of a column `split`")
    parser.add_argument("--copy", action="store_true", help="copy the pictures into the folder")
    parser.add_argument("--root", type=Path, help="a folder under which pictures may lie, beside the manifests' own")
    parser.add_argument("--patient-column", help="where the patient stands (default: `patient`)")
    parser.add_argument("--patient-pattern", help=r"or a regular expression for the file name, like '^(\d+)_(?:left|right)'")
    args = parser.parse_args(arguments)
    shares = read_shares(args.splits)
    if args.seed < 0:
        raise InputError(f"--seed {args.seed}: give a whole number of 0 or more")
    if args.out.exists():
        raise InputError("exists already: choose another name, or delete it", args.out)
    frame = read_sources(args.manifests, args.root, args.patient_column, args.patient_pattern)
    if args.modality != "all":
        kinds = ", ".join(f"{count} {name}" for name, count in frame["modality"].value_counts().items())
        frame = frame[frame["modality"] == args.modality].reset_index(drop=True)
        if frame.empty:
            raise InputError(f"no row is {args.modality}: there are {kinds}", args.manifests[0])
    frame = choose(frame, args.findings, args.per_finding, args.seed, args.captions)
    frame["split"] = split_groups(frame, shares, args.seed)
    files = write_subset(frame, args.out, args.copy, args.separate, args.root)
    print(counts(frame))
    print(f"{frame['group'].nunique()} patients, figures or single rows; seed {args.seed}")
    print("\n".join(map(str, files)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
