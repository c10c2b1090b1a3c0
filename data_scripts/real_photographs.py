"""Does expert text teach a disease that no label named? Five arms and a control on real photographs (KEEPFIT_DATA).

    python data_scripts/real_photographs.py prepare --out runs/real
    python data_scripts/real_photographs.py run --out runs/real --arms a b c d e shuffled --seeds 0 1 2
    python data_scripts/real_photographs.py attention --out runs/real

Cataract, myopia and "refractive media opacity" are withheld from the public labels of every arm but e.
    a         labels only
    b         + csdi's paragraphs about cataract photographs
    c         + captions that describe without naming: MM-Retinal's captions of a diagnosis, its names masked, dealt at random
              to odir_pretrain pictures of that diagnosis (weak pairs: the caption was written for another eye)
    d         + the same pictures with their bare names (odir_pretrain's `text`): labels as captions
    e         labels with nothing withheld: the upper control
    shuffled  as c, but the captions are dealt over all these pictures whatever their diagnosis: must teach nothing
Each run is scored on ODIR200x3 (results/real/ARM-seedN.json). With --validation a quarter of odir_pretrain's patients is kept
out of training and scored instead: on it every choice was made.
"""

import argparse
import dataclasses
import json
import os
import random
import re
import shutil
import sys
import time
from pathlib import Path

import pandas as pd

import keepfit_mini as kf
from keepfit_mini.config import write_aside
from keepfit_mini.prompts import mask_names

WITHHELD = ("cataract", "myop", "refractive media opacity")
CLASSES = ["normal", "pathologic myopia", "cataract"]
CAPTIONS_PER_PICTURE = 4
ARMS = {"a": None, "b": "expert_b", "c": "expert_c", "d": "expert_d", "e": None, "shuffled": "expert_shuffled"}


def data_folder() -> Path:
    if "KEEPFIT_DATA" not in os.environ:
        raise kf.InputError("KEEPFIT_DATA is not set: point it at the folder that holds odir_pretrain.csv and its neighbours")
    return Path(os.environ["KEEPFIT_DATA"]).resolve()


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


def prepare(out: Path, validation: bool) -> None:
    """Write the manifests of all arms; pictures stay where they are."""
    data, chance = data_folder(), random.Random(0)
    odir = pd.read_csv(data / "odir_pretrain.csv", keep_default_na=False)
    patient = odir["orig_name"].str.split("_").str[0]
    kept_out = patient.map({p: random.Random(f"patient {p}").random() < 0.25 for p in patient.unique()}) & validation
    odir["image"] = [os.path.relpath(data / image, out) for image in odir["image"]]
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)

    known = odir[~kept_out]
    known.to_csv(part / "public.csv", index=False)
    test = odir[kept_out].copy()
    if not validation:
        test = pd.read_csv(data / "odir200x3.csv", keep_default_na=False)
        test["image"] = [os.path.relpath(data / image, out) for image in test["image"]]
    test["label"] = test["label"].str.replace("pathological myopia", "pathologic myopia")
    test.to_csv(part / "test.csv", index=False)

    csdi = pd.read_csv(data / "csdi.csv", keep_default_na=False)
    csdi["image"] = [os.path.relpath(data / image, out) for image in csdi["image"]]
    csdi.to_csv(part / "expert_b.csv", index=False)

    texts, rows = atlas_captions(data), []
    for image, label, text in zip(known["image"], known["label"], known["text"], strict=True):
        shown = diagnosis(label)
        for caption in chance.choices(texts[shown], k=CAPTIONS_PER_PICTURE) if shown else ():
            rows.append({"image": image, "described": caption, "named": text})
    pairs = pd.DataFrame(rows)
    pairs["shuffled"] = chance.sample(pairs["described"].tolist(), len(pairs))
    for name, column in (("expert_c", "described"), ("expert_d", "named"), ("expert_shuffled", "shuffled")):
        pairs[["image", column]].rename(columns={column: "text"}).to_csv(part / f"{name}.csv", index=False)
    if out.exists():
        raise kf.InputError("exists already: choose another folder or delete it", out)
    part.rename(out)
    print(f"{len(known)} public rows, {len(pairs)} expert pairs, {len(test)} rows to score: {out}")


def run(out: Path, arm: str, seed: int, results: Path, changes: dict) -> None:
    """Pretrain one arm with one seed, score it, write its JSON. A JSON that is there already is left alone."""
    target = results / f"{arm}-seed{seed}.json"
    if target.exists():
        return
    model, train = kf.PRESETS["cpu"]
    expert = ARMS[arm]
    train = dataclasses.replace(
        train, seed=seed, variant="revision+mixed" if expert else "public-only",
        exclude_categories=() if arm == "e" else WITHHELD,
    )  # fmt: skip
    for name in changes:
        if not hasattr(model, name) and not hasattr(train, name):
            raise kf.InputError(f"--set {name}: neither ModelConfig nor TrainConfig has such a field")
    model = dataclasses.replace(model, **{k: v for k, v in changes.items() if hasattr(model, k)})
    train = dataclasses.replace(train, **{k: v for k, v in changes.items() if hasattr(train, k)})
    folder = out / f"{arm}-seed{seed}"
    begin, resumed = time.time(), folder.exists()
    trained = kf.pretrain(model, train, out / "public.csv", out / f"{expert}.csv" if expert else None, folder,
                          resume=resumed)  # fmt: skip
    seconds = None if resumed else round(time.time() - begin)  # of a resumed run, only a part would be measured
    scores = {prompts: kf.zero_shot(trained, out / "test.csv", CLASSES, prompts) for prompts in ("names", "descriptions", "both")}
    command = f"python data_scripts/real_photographs.py run --out {out} --arms {arm} --seeds {seed} --results {results}"
    command += "".join(f" --set {name}={value}" for name, value in changes.items())
    value = {"arm": arm, "seed": seed, "command": command, "pretrain_seconds": seconds, "zero_shot": scores}
    write_aside(target, json.dumps(value) + "\n")
    print(
        arm,
        seed,
        f"{seconds} s",
        {k: (round(v["metrics"]["aca"], 3), [round(r, 2) for r in v["recall"].values()]) for k, v in scores.items()},
    )


def attention(out: Path, seeds: list[int], results: Path) -> None:
    """How much the text revision of arm c prefers one expert pair, for each scored picture: 1 = not at all."""
    from keepfit_mini.viz import expert_attention

    images = kf.read_manifest(out / "test.csv")["image"].to_numpy()
    expert = kf.read_manifest(out / "expert_c.csv").drop_duplicates("image", ignore_index=True)  # a caption a picture
    heaviest = {}
    for seed in seeds:
        weights = expert_attention(kf.KeepFIT.from_pretrained(out / f"c-seed{seed}"), images, expert)  # (N, M)
        heaviest[seed] = round(float(weights.max(1).mean() * len(expert)), 3)
    command = f"python data_scripts/real_photographs.py attention --out {out} --seeds {' '.join(map(str, seeds))}"
    value = {"command": command, "pictures": len(images), "expert_pairs": len(expert), "heaviest_over_even_share": heaviest}
    write_aside(results.parent / "attention.json", json.dumps(value, indent=2) + "\n")
    print(value)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("prepare", "run", "attention"))
    parser.add_argument("--out", type=Path, default=Path("runs/real"), help="folder of the manifests and runs")
    parser.add_argument("--validation", action="store_true", help="prepare: keep a quarter of the patients out and score them")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("results/real"), help="folder of the JSON files")
    parser.add_argument("--set", nargs="+", default=[], metavar="FIELD=VALUE", help="fields of ModelConfig or TrainConfig")
    args = parser.parse_args()
    try:
        if args.what == "prepare":
            prepare(args.out, args.validation)
        changes = {k: type_of(v) for k, _, v in (pair.partition("=") for pair in args.set)}
        if args.what == "attention":
            attention(args.out, args.seeds, args.results)
        for seed in args.seeds if args.what == "run" else ():
            for arm in args.arms:
                run(args.out, arm, seed, args.results, changes)
    except kf.InputError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def type_of(text: str):
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return text


if __name__ == "__main__":
    sys.exit(main())
