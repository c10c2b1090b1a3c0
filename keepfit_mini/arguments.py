"""What the command line takes: every command, its arguments and their help (python -m keepfit_mini COMMAND --help).

Nothing heavy is imported, so that help is there at once. Not about: what a command does (__main__.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .config import PRESETS, VARIANTS

EVALUATIONS = ("zero-shot", "linear-probe", "clip-adapter", "tip-adapter", "tip-adapter-f")  # adapters.PROTOCOLS, and none


class Help(argparse.ArgumentDefaultsHelpFormatter):
    """Names the defaults that there are."""

    def _get_help_string(self, action: argparse.Action) -> str:
        return action.help if action.default in (None, False, []) else super()._get_help_string(action)


def whole_number(text: str) -> int:
    if not 0 <= int(text) < 2**32:  # what every generator takes as a seed
        raise ValueError
    return int(text)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser("keepfit_mini", description="KeepFIT / MM-Retinal in miniature. Not for clinical use.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name, help_text):
        return commands.add_parser(name, help=help_text, description=help_text, formatter_class=Help)

    c = command("demo", "draw eyes, pretrain the baseline and KeepFIT, score both, write a report (3 minutes on two cores)")
    c.add_argument("--out", type=Path, default=Path("demo"), help="folder for results.json and report.html")
    c.add_argument("--seed", type=whole_number, default=0, help="seed of the drawing and the training")

    c = command("draw", "write the demo's drawn sets as manifests with their pictures, and the expert set as a book")
    c.add_argument("--out", type=Path, required=True, help="folder to write")
    c.add_argument("--images", type=int, default=1500, help="pictures of the public set; the others follow from it")
    c.add_argument("--size", type=int, default=64, help="pixels a side")
    c.add_argument("--seed", type=int, default=0, help="same seed, same pictures")

    c = command("build-atlas", "an eye atlas as a PDF -> manifest.csv, its pictures, and review.html")
    c.add_argument("book", type=Path, metavar="BOOK.pdf", help="with a text layer, or scanned if Tesseract is installed")
    c.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make; an earlier build in it is replaced")
    c.add_argument("--start", choices=("collect", "align", "modality", "clean"), default="collect",
                   help="step to begin with, on the tables in DIR, once you have corrected one of them")  # fmt: skip
    c.add_argument("--ocr", default="auto", metavar="LANGUAGES",
                   help="Tesseract's languages for pages without text, like eng+chi_sim; off: leave them unread")  # fmt: skip
    c.add_argument("--translate", action="store_true", help="fill a missing language with a Marian model on this machine")

    c = command("data", "the data sets of the paper and of FLAIR's tables: what they are, and getting them")
    c.add_argument("what", choices=("list", "show", "get"), help="all of them, one of them, or its pictures")
    c.add_argument("name", nargs="?", metavar="NAME", help="of a data set, as `list` has it")
    c.add_argument("--folder", type=Path, metavar="DIR", help="where the set is, or shall be [data/NAME]")
    c.add_argument("--url", help="an archive of your own mirror: zip, tar, tar.gz, tar.bz2 or tar.xz")
    c.add_argument("--sha256", help="its checksum")

    c = command("pretrain", "pretrain KeepFIT, or a variant of it, on manifests")
    c.add_argument("--preset", choices=list(PRESETS), default="mini", help="model and schedule (config.py)")
    c.add_argument("--public", type=Path, nargs="+", required=True, metavar="CSV", help="manifests with labels")
    c.add_argument("--expert", type=Path, nargs="+", metavar="CSV", help="manifests with captions")
    c.add_argument("--root", type=Path, metavar="DIR", help="pictures may also lie under this folder")
    c.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to make")
    c.add_argument("--variant", choices=VARIANTS, default="revision+mixed", help="which losses (mixed_loss.py)")
    c.add_argument("--seed", type=int, default=42, help="seed of everything random")
    c.add_argument("--exclude-categories", nargs="+", default=[], metavar="WORDS",
                   help="leave out public rows one of whose categories contains one of these")  # fmt: skip
    c.add_argument("--max-bad", type=float, help="share of pictures that may fail to decode [preset: 0.01]")
    c.add_argument("--resume", action="store_true", help="go on with RUN from its last checkpoint, with its own settings")
    c.add_argument("--epochs", type=int, help="passes over the public rows [preset]")
    c.add_argument("--batch-size", type=int, help="public rows a step, in each process [preset]")
    c.add_argument("--lr", type=float, help="learning rate [preset]")
    c.add_argument("--revision-weight", type=float, help="weight of the revision loss [100; 1 for `revision`]")
    c.add_argument("--image-size", type=int, help="pixels a side [preset]")
    c.add_argument("--image-weights", help="'imagenet' or a .pth/.safetensors file [preset]")
    c.add_argument("--text-encoder", help="hub name or local folder of a BERT [preset]")
    c.add_argument("--normalize-over", choices=("experts", "heads"), help="softmax of the revision: the paper or its code")
    c.add_argument("--workers", type=int, help="processes that read pictures [preset]")
    c.add_argument("--cache-gb", type=float, help="disk for resized pictures; 0 reads each file anew at every visit [2]")
    c.add_argument("--chunk-size", type=int, help="encode so many rows at a time, twice: large batches on small memory [all]")
    c.add_argument("--checkpoint-every", type=int, metavar="STEPS", help="how much a kill can lose [500]")
    c.add_argument("--exact", action="store_true", help="no dropout, running batch statistics: W processes = one large batch")

    c = command("evaluate", "score a run on a labelled manifest")
    c.add_argument("run", metavar="RUN", help="run folder, or a hub name")
    c.add_argument("--dataset", type=Path, required=True, metavar="CSV", help="manifest with labels")
    c.add_argument("--root", type=Path, metavar="DIR", help="pictures may also lie under this folder")
    c.add_argument("--classes", required=True, help="class names, comma between; rows with none of them are left out")
    c.add_argument("--protocol", choices=EVALUATIONS, default="zero-shot", help="how classes are told apart (adapters.py)")
    c.add_argument("--shots", help="labelled pictures a class: a whole number, 'all' that are not tested, or like '20%%' [5]")
    c.add_argument("--folds", type=whole_number, help="how many times shots are drawn, a fifth of each class tested [5]")
    c.add_argument("--published", action="store_true", help="adapt as the authors' code does, its oddities included")
    c.add_argument("--prompts", choices=("names", "descriptions", "both"), default="both", help="what a class vector is made of")
    c.add_argument("--seed", type=whole_number, default=0, help="seed of the adapters and the bootstrap")
    c.add_argument("--out", type=Path, metavar="FILE.json", help="write the scores here")

    c = command("predict", "probabilities and a picture for your own photographs (not for clinical use)")
    c.add_argument("run", metavar="RUN", help="run folder, or a hub name")
    c.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="photographs")
    c.add_argument("--classes", required=True, help="class names, comma between")
    c.add_argument("--prompts", choices=("names", "descriptions", "both"), default="both", help="what a class vector is made of")
    c.add_argument("--out", type=Path, default=Path("prediction.png"), help="picture to write")

    c = command("train-reports", "learn to write reports of angiograms from studies in FFA-IR's layout")
    c.add_argument("--studies", type=Path, required=True, metavar="JSON", help="annotation with train and val studies")
    c.add_argument("--root", type=Path, metavar="DIR", help="folder of the pictures [the annotation's, or images in it]")
    c.add_argument("--encoder", metavar="RUN", help="a pretrained KeepFIT whose image encoder is gone on with [a random one]")
    c.add_argument("--preset", choices=("mini", "paper"), default="mini", help="size of the writer and how it learns")
    c.add_argument("--language", choices=("en", "zh"), default="en", help="of the reports")
    c.add_argument("--limit", type=int, help="words (zh: characters) a report at most; what is longer is cut and counted [90]")
    c.add_argument("--epochs", type=int, help="passes over the train studies [preset]")
    c.add_argument("--seed", type=whole_number, default=0, help="seed of everything random")
    c.add_argument("--missing", choices=("refuse", "drop"), default="refuse",
                   help="a lost or broken picture; drop decodes every picture first: slow")  # fmt: skip
    c.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to make")

    c = command("generate-reports", "write reports for angiograms (not for clinical use)")
    c.add_argument("run", metavar="RUN", help="run folder of train-reports")
    c.add_argument("--images", type=Path, nargs="+", required=True, metavar="PATH",
                   help="pictures of one study, a folder for each study, or an annotation in FFA-IR's layout")  # fmt: skip
    c.add_argument("--root", type=Path, metavar="DIR", help="of an annotation: folder of the pictures [its own, or images in it]")
    c.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: .csv, .json or .txt")
    c.add_argument("--width", type=int, default=3, help="of the beam; 1 is greedy")
    c.add_argument("--block", type=int, metavar="N",
                   help="no run of N words is written twice; 0: may; 3 as published [as the run was trained]")  # fmt: skip
    c.add_argument("--split", choices=("train", "val", "test"), default="test", help="of an annotation")
    c.add_argument("--missing", choices=("refuse", "drop"), default="refuse",
                   help="of an annotation: a lost or broken picture; drop decodes every picture first: slow")  # fmt: skip

    c = command("reproduce", "run what a table of the paper still lacks, then write it; may be interrupted and repeated")
    c.add_argument("table", metavar="TABLE", help="few-zero-shot, linear-probe, ablation, sweeps, knowledge, all; or reports")
    c.add_argument("--fast", action="store_true", help="small drawn eyes, one seed: at most 10 minutes on two cores")
    c.add_argument("--out", type=Path, help="folder of the runs and tables [results; --fast: results/fast]")
    c.add_argument("--data", nargs="+", choices=("drawn", "real", "real-frozen"),
                   help="on what [all that is there; real photographs where KEEPFIT_DATA is set]")  # fmt: skip
    c.add_argument("--seeds", type=whole_number, nargs="+", help="which seeds [0 1 2 3 4; --fast: 0]")

    c = command("results", "results/runs/*.json -> tables, verdicts and README's tables")
    c.add_argument("--check", action="store_true", help="change nothing; fail where a table differs from the JSON")
    c.add_argument("--readme", type=Path, default=Path("README.md"), help="file whose tables are rendered")

    c = command("bench", "measure speed and memory of every part, and against the published step (half an hour on two cores)")
    c.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for bench.json and bench.md")
    c.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS), help="which presets")
    c.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some measurements; the others stay as they were")
    c.add_argument("--fast", action="store_true", help="tiny sizes: whether it runs, not how fast")
    return top
