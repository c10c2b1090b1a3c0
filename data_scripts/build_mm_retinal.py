"""Eye atlases as PDFs -> one expert manifest, the way MM-Retinal was made out of four books (paper section 2.2).

    python data_scripts/build_mm_retinal.py ATLAS.pdf [SECOND.pdf ...] --out data/mm_retinal
    python data_scripts/build_mm_retinal.py ATLAS.pdf --out data/mm_retinal --start align

Each book is built into a folder of its own in --out (its review.html shows every pair); --out/manifest.csv joins them. Correct a
book's tables and run again with --start. --only-sure leaves out the pairs that ask for a look (confidence under 0.5).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from keepfit_mini.atlas import BOOK, MANIFEST, STEPS, build_atlas
from keepfit_mini.atlas_pairs import FLAG
from keepfit_mini.config import InputError, script, write_aside


@script
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("books", type=Path, nargs="+", metavar="BOOK.pdf", help="atlases; their file names become `source`")
    parser.add_argument("--out", type=Path, required=True, help="folder for the books' folders and manifest.csv")
    parser.add_argument("--start", choices=STEPS, default="collect", help="step to begin with, on corrected tables")
    parser.add_argument("--ocr", default="auto", help="Tesseract's languages for scans, like eng+chi_sim; off: leave them")
    parser.add_argument("--translate", action="store_true", help="fill a missing language with a Marian model on this machine")
    parser.add_argument("--only-sure", action="store_true", help="leave out pairs that ask for a look")
    args = parser.parse_args(arguments)
    names = [book.stem for book in args.books]
    if len(set(names)) < len(names):
        raise InputError(f"two books are named {next(n for n in names if names.count(n) > 1)}: rename one")
    if args.out.exists() and not args.out.is_dir():
        raise InputError("is a file: give --out a folder", args.out)
    if (args.out / MANIFEST).exists() and not any(args.out.glob(f"*/{BOOK}")):
        raise InputError("was not joined here (no book's folder beside it): give --out another folder", args.out / MANIFEST)
    frames = []
    for book in args.books:
        folder = args.out / book.stem
        counts = build_atlas(book, folder, args.start, None if args.ocr == "off" else args.ocr, args.translate)
        print(f"{book.name}: " + ", ".join(f"{count} {what}" for what, count in counts.items() if count or what == "flagged"))
        frame = pd.read_csv(folder / MANIFEST, dtype=str, keep_default_na=False)
        frames.append(frame.assign(image=[f"{book.stem}/{image}" for image in frame["image"]]))
    joined = pd.concat(frames, ignore_index=True)
    if args.only_sure:
        joined = joined[joined["confidence"].astype(float) >= FLAG]
    write_aside(args.out / MANIFEST, joined.to_csv(index=False, lineterminator="\n"))
    print(f"{len(joined)} pairs: {args.out / MANIFEST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
