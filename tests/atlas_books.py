"""Drawn books for the tests of the atlas builder, the builder's tables as frames.

Not about: what the builder should make of them (test_atlas.py, test_atlas_refusals.py, test_atlas_command.py)."""

from pathlib import Path

import pandas as pd

from keepfit_mini.atlas import build_atlas
from keepfit_mini.atlas_score import score_atlas
from keepfit_mini.drawn_atlas import draw_atlas, draw_book
from keepfit_mini.phantom import draw

CONTRACT = ["image", "modality", "text", "text_zh", "source", "split", "page", "figure", "panel", "confidence"]
BOOKS = {"en": {"seed": 0, "figures": 6}, "zh": {"seed": 1, "figures": 6}, "both": {"seed": 3, "figures": 9},
         "faults": {"seed": 5, "languages": "both", "faults": 0.5}}  # fmt: skip


def built(folder: Path, name: str, **settings) -> tuple[Path, Path]:
    """A drawn book and what the builder makes of it."""
    book = draw_book(folder / f"{name}.pdf", size=96, progress=False, **{"figures": 8, "languages": name} | settings)
    build_atlas(book, folder / name, progress=False)
    return book, folder / name


class Books(dict):
    """Name -> (PDF, built folder), each built when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def __missing__(self, name: str) -> tuple[Path, Path]:
        self[name] = built(self.folder, name, **BOOKS[name])
        return self[name]


def score(book: Path, out: Path, **settings):
    return score_atlas(out, book.with_name(f"{book.stem}_truth.csv"), book.with_name(f"{book.stem}_pictures"), **settings)


def cells(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")


def correct(path: Path, table: pd.DataFrame) -> None:
    """As a spreadsheet saves it."""
    table.to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\r\n")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


OWN = [("CFP", "Soft drusen near the fovea.", "黄斑区软性玻璃膜疣。", "a"),
       ("FFA", "Staining of the drusen.", "玻璃膜疣着染。", "a"),
       ("CFP", "Optic disc with a deep cup.", "视盘凹陷加深。", "b"),
       ("CFP", "Tortuous veins in all quadrants.", "各象限静脉迂曲。", "c"),
       ("OCT", "Fluid under the fovea.", "黄斑中心凹下液体。", "d"), ("CFP", "Serous detachment.", "浆液性脱离。", "d"),
       ("FFA", "A hot spot in the late phase.", "晚期强荧光点。", "d")]  # fmt: skip


def built_from_own(folder: Path) -> tuple[Path, Path]:
    """A small bilingual book with two figures of one picture, and what is built from it."""
    rows = []
    for k, (modality, text, text_zh, group) in enumerate(OWN):
        draw(modality, "normal", seed=k, size=96).image.save(folder / f"{k}.png")
        rows.append({"image": f"{k}.png", "modality": modality, "text": text, "text_zh": text_zh, "group": group})
    pd.DataFrame(rows).to_csv(folder / "m.csv", index=False)
    pdf = draw_atlas(folder / "m.csv", folder / "own.pdf", seed=3, progress=False)
    build_atlas(pdf, folder / "own", progress=False)
    return pdf, folder / "own"
