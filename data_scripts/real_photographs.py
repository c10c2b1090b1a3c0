"""Manifests of the photographs in KEEPFIT_DATA, and what the text revision attends to on them.

    python data_scripts/real_photographs.py prepare --out runs/validation --validation
    python data_scripts/real_photographs.py attention --models results/models/real-keepfit-seed* --data results/data/real

`python -m keepfit_mini reproduce knowledge` trains and scores the arms and prepares its own manifests. With --validation a
quarter of odir_pretrain's patients is kept out of every training set and written as odir200x3.csv: on it every choice was made.
"""

import argparse
import json
import sys
from pathlib import Path

import keepfit_mini as kf
from keepfit_mini.config import script, write_aside
from keepfit_mini.expert_attention import expert_attention
from keepfit_mini.real_sets import prepare_real


def attention(models: list[Path], data: Path, out: Path) -> None:
    """How much the text revision prefers one expert pair, for each scored picture: 1 = not at all."""
    images = kf.read_manifest(data / "odir200x3.csv")["image"].to_numpy()
    expert = kf.read_manifest(data / "expert.csv").drop_duplicates("image", ignore_index=True)  # a caption a picture
    heaviest = {}
    for folder in models:
        weights = expert_attention(kf.KeepFIT.from_pretrained(folder), images, expert)  # (N, M)
        name = json.loads((folder / "config.json").read_text())["train"]["seed"]
        heaviest[name] = round(float(weights.max(1).mean() * len(expert)), 3)
    value = {
        "command": "python data_scripts/real_photographs.py attention --models results/models/real-keepfit-seed*",
        "pictures": len(images),
        "expert_pairs": len(expert),
        "heaviest_over_even_share": heaviest,
    }
    write_aside(out, json.dumps(value, indent=2) + "\n")
    print(value)


@script
def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="what", required=True)
    one = commands.add_parser("prepare", help="write the manifests; pictures stay where they are")
    one.add_argument("--out", type=Path, default=Path("results/data/real"), help="folder to make")
    one.add_argument("--validation", action="store_true", help="keep a quarter of the patients out and score them")
    one = commands.add_parser("attention", help="how even the revision's attention is")
    one.add_argument("--models", type=Path, nargs="+", required=True, help="run folders")
    one.add_argument("--data", type=Path, default=Path("results/data/real"), help="folder of the manifests")
    one.add_argument("--out", type=Path, default=Path("results/attention.json"), help="file to write")
    args = parser.parse_args()
    if args.what == "attention":
        attention(args.models, args.data, args.out)
    else:
        if args.out.exists():
            raise kf.InputError("exists already: choose another folder or delete it", args.out)
        prepare_real(args.out, args.validation)
        print(f"manifests: {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
