"""Real photographs as manifests for the experiments (KEEPFIT_DATA): one public set, expert sets that say more or less.

    public           odir_pretrain's rows with their labels (which are withheld is TrainConfig.exclude_categories' part)
    expert           MM-Retinal's captions of a diagnosis, its names masked, dealt at random to odir_pretrain pictures of
                     that diagnosis: they describe and never name (weak pairs: each was written for another eye)
    expert_named     the same pictures with their bare names (odir_pretrain's `text`): labels as captions
    expert_shuffled  `expert`, the captions dealt over all these pictures whatever their diagnosis: must teach nothing
    expert_csdi      csdi's paragraphs about cataract photographs
    odir200x3, retina_dataset, ffa_huapu    the sets that are scored

Pictures stay where they are. Not about: drawn eyes (drawn_sets.py), or what is trained on which set (experiments/).
"""

from __future__ import annotations

import os
import random
import re
import shutil
from pathlib import Path

import pandas as pd

from .config import InputError
from .prompts import mask_names

CAPTIONS_PER_PICTURE = 4
SCORED = ("odir200x3", "retina_dataset", "ffa_huapu")


def data_folder() -> Path:
    """The folder that KEEPFIT_DATA names."""
    folder = Path(os.environ.get("KEEPFIT_DATA", ""))
    if not os.environ.get("KEEPFIT_DATA") or not (folder / "odir_pretrain.csv").is_file():
        raise InputError("KEEPFIT_DATA must name the folder that holds odir_pretrain.csv and its neighbours: set it")
    return folder.resolve()


def diagnosis(label: str) -> str | None:
    """Which of the three classes an odir_pretrain row shows for the expert side; None: neither."""
    if "cataract" in label or "refractive media opacity" in label:
        return "cataract"
    if "myop" in label:
        return "pathologic myopia"
    return "normal" if label == "normal" else None


def atlas_captions(data: Path) -> dict[str, list[str]]:
    """MM-Retinal's captions of each class, without the class's names. After surgery there is no cataract to see."""
    captions = pd.read_csv(data / "mm_retinal_cfp_captions.csv", keep_default_na=False)["caption"]
    found = {
        "cataract": [c for c in captions if "cataract" in c.lower() and "surgery" not in c.lower()],
        "pathologic myopia": [c for c in captions if "myop" in c.lower()],
    }
    masked = {name: [mask_names(c, "cataract", ("pathologic myopia",)) for c in texts] for name, texts in found.items()}
    masked["normal"] = [c for c in captions if re.search(r"in a normal (person|child|human)", c)]  # its label is not withheld
    return masked


def prepare_real(out: str | Path, validation: bool = False) -> dict[str, Path]:
    """Write the manifests into the folder `out`; returns {set: manifest}. A folder that is there already is taken as it is.

    validation  a quarter of odir_pretrain's patients is kept out of all training sets and written as odir200x3.csv instead:
                on it choices are made. InputError: KEEPFIT_DATA is not set, or a file is missing there.
    """
    out = Path(out)
    names = ("public", "expert", "expert_named", "expert_shuffled", "expert_csdi", *SCORED)
    if out.is_dir():
        return {name: out / f"{name}.csv" for name in names}
    data, chance = data_folder(), random.Random(0)

    def manifest(name: str) -> pd.DataFrame:
        if not (data / f"{name}.csv").is_file():
            raise InputError("is missing: add it, or point KEEPFIT_DATA at the folder that has it", data / f"{name}.csv")
        frame = pd.read_csv(data / f"{name}.csv", keep_default_na=False)
        frame["image"] = [os.path.relpath(data / image, out) for image in frame["image"]]
        return frame

    odir = manifest("odir_pretrain")
    patient = odir["orig_name"].str.split("_").str[0]
    kept_out = patient.map({p: random.Random(f"patient {p}").random() < 0.25 for p in patient.unique()}) & validation
    known = odir[~kept_out]
    sets = {"public": known, "expert_csdi": manifest("csdi"), **{name: manifest(name) for name in SCORED}}
    if validation:
        sets["odir200x3"] = odir[kept_out].copy()
    sets["odir200x3"]["label"] = sets["odir200x3"]["label"].str.replace("pathological myopia", "pathologic myopia")

    texts, rows = atlas_captions(data), []
    for image, label, text in zip(known["image"], known["label"], known["text"], strict=True):
        shown = diagnosis(label)
        for caption in chance.choices(texts[shown], k=CAPTIONS_PER_PICTURE) if shown else ():
            rows.append({"image": image, "described": caption, "named": text})
    pairs = pd.DataFrame(rows)
    pairs["shuffled"] = chance.sample(pairs["described"].tolist(), len(pairs))
    for name, column in (("expert", "described"), ("expert_named", "named"), ("expert_shuffled", "shuffled")):
        sets[name] = pairs[["image", column]].rename(columns={column: "text"})

    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    for name, frame in sets.items():
        frame.to_csv(part / f"{name}.csv", index=False)
    part.rename(out)
    return {name: out / f"{name}.csv" for name in names}
