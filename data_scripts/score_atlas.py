"""How right and how fast is the builder? Drawn books with known truth, layouts mixed -> results/atlas.json.

    python data_scripts/score_atlas.py [--books 4] [--figures 24] [--pages 300] [--scans] [--out results/atlas.json]

A pair is right when figure, panel and both texts are; silent: wrong and not flagged; alarms: right and flagged. Books of
photographs and captions of KEEPFIT_DATA are added where that folder is present. Seeds from 1000 on were never looked at before
the last measurement. The builder is not judged on what Tesseract reads wrong: a scan's text may differ in a tenth.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from keepfit_mini.atlas import build_atlas
from keepfit_mini.atlas_score import score_atlas
from keepfit_mini.config import script, write_aside
from keepfit_mini.drawn_atlas import draw_atlas, draw_book
from keepfit_mini.drawn_sets import draw_sets


def measured(name: str, folder: Path, book: Path, root: Path, scan: bool = False) -> dict:
    begin = time.perf_counter()
    out = folder / f"{name}-built"
    build_atlas(book, out, progress=False)
    seconds = time.perf_counter() - begin
    pages = json.loads((out / "book.json").read_text(encoding="utf-8"))["pages"]
    score, table = score_atlas(out, book.with_name(f"{book.stem}_truth.csv"), root, scan)
    row = {"book": name, "pages": pages, "layouts": int(table["layout"].nunique()), **score, "seconds": round(seconds, 1)}
    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    shutil.rmtree(out)
    return row


def first(cell: str) -> str:
    return ast.literal_eval(cell)[0]


def photographs(path: Path, count: int, seed: int) -> Path:
    """A manifest of real photographs, each beside a real caption of its modality that was written for another picture."""
    data = Path(os.environ["KEEPFIT_DATA"])
    cfp = pd.concat(
        [pd.read_csv(data / f"{name}.csv").sample(count // 4, random_state=seed) for name in ("odir200x3", "aptos_sub", "csdi")]
    )
    ffa = pd.read_csv(data / "ffa_huapu.csv").query("modality == 'FFA'").sample(min(count // 4, 100), random_state=seed)
    rows = pd.concat([cfp, ffa]).sample(frac=1, random_state=seed).reset_index(drop=True)
    english = {"CFP": pd.read_csv(data / "mm_retinal_cfp_captions.csv")["caption"],
               "FFA": pd.read_csv(data / "mm_retinal_ffa_captions.csv")["categories"].map(first)}  # fmt: skip
    plain = {name: texts[~texts.str.contains(r"same|figure|[(（][A-H][)）]|\b[A-H][.,:]", case=False) & (texts.str.len() < 400)]
             for name, texts in english.items()}  # a reference or a mark inside a caption has no known truth  # fmt: skip
    rows["text"] = [plain[m].sample(1, random_state=seed + i).iloc[0] for i, m in enumerate(rows["modality"])]
    rows["image"] = [os.path.relpath(data / image, path.parent) for image in rows["image"]]
    rows[["image", "modality", "text"]].to_csv(path, index=False)
    return path


def summary(rows: list[dict]) -> dict:
    """Over all books: shares of all pairs, not means over books."""
    table = pd.DataFrame(rows)
    asked = table["with text"].sum()
    right = (table["right"] * table["with text"]).sum()
    return {"books": len(table), "pictures": int(table["pictures"].sum()), "with text": int(asked),
            "right": round(float(right / asked), 4), "wrong": int(table["wrong"].sum()), "silent": int(table["silent"].sum()),
            "alarms": round(float((table["alarms"] * table["right"] * table["with text"]).sum() / right), 4)}  # fmt: skip


@script
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--books", type=int, default=4, help="books of each language")
    parser.add_argument("--figures", type=int, default=24, help="figures a book")
    parser.add_argument("--seed", type=int, default=1000, help="the first seed")
    parser.add_argument("--pages", type=int, default=300, help="pages of the long book, for the speed")
    parser.add_argument("--scans", action="store_true", help="also books of pictures of pages (needs Tesseract; minutes)")
    parser.add_argument("--out", type=Path, default=Path("results/atlas.json"))
    args = parser.parse_args(arguments)
    result: dict = {"command": "python data_scripts/score_atlas.py " + " ".join(arguments or sys.argv[1:])}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        kinds = {"drawn": [], "with faults": [], "photographs": [], "scans": []}
        for k in range(args.books):
            for language in ("en", "zh", "both"):
                for kind, faults in (("drawn", False), ("with faults", True)):
                    name = f"{language}-{args.seed + k}{'-faults' if faults else ''}"
                    book = draw_book(folder / f"{name}.pdf", args.figures, args.seed + k + 500 * faults, languages=language,
                                     faults=faults, progress=False)  # fmt: skip
                    kinds[kind].append(measured(name, folder, book, folder / f"{name}_pictures"))
                if args.scans and k == 0:
                    name = f"{language}-scan"
                    book = draw_book(folder / f"{name}.pdf", args.figures // 2, args.seed, languages=language, scan=True,
                                     progress=False)  # fmt: skip
                    kinds["scans"].append(measured(name, folder, book, folder / f"{name}_pictures", scan=True))
            if os.environ.get("KEEPFIT_DATA"):
                name = f"photographs-{args.seed + k}"
                rows = photographs(folder / f"{name}.csv", 4 * args.figures, args.seed + k)
                book = draw_atlas(rows, folder / f"{name}.pdf", seed=args.seed + k, languages="en", progress=False)
                kinds["photographs"].append(measured(name, folder, book, folder))
        result |= {kind: {**summary(rows), "rows": rows} for kind, rows in kinds.items() if rows}
        sets = draw_sets(folder / "sets", images=1500, size=96, seed=args.seed, progress=False)
        long = draw_atlas(sets["expert"], folder / "long.pdf", pages=args.pages, seed=args.seed, progress=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        row = measured("long", folder, long, folder / "sets")
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        result["long book"] = {**row, "pages a second": round(row["pages"] / row["seconds"], 2), "peak MB before": before,
                               "peak MB after": after}  # fmt: skip
    write_aside(args.out, json.dumps(result, indent=1) + "\n")
    print({key: {k: v for k, v in value.items() if k != "rows"} for key, value in result.items() if isinstance(value, dict)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
