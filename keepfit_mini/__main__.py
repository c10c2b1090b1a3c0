"""The command line: python -m keepfit_mini COMMAND. Each command is one function; bad input ends with one line and exit 2."""

from __future__ import annotations

import argparse
import csv
import dataclasses
import json
import sys
from pathlib import Path

from .config import PRESETS, VARIANTS, InputError, check_out, first_process, in_one_line, write_aside

EVALUATIONS = ("zero-shot", "linear-probe", "clip-adapter", "tip-adapter", "tip-adapter-f")  # adapters.PROTOCOLS, and none


def draw(args) -> None:
    from .drawn_atlas import draw_atlas
    from .drawn_sets import draw_sets

    made = draw_sets(args.out, images=args.images, size=args.size, seed=args.seed)
    made["atlas"] = draw_atlas(made["expert"], args.out / "atlas.pdf", seed=args.seed)
    for name, path in made.items():
        print(f"{name}: {path}")


def demo(args) -> None:
    from .demo import run_demo

    run_demo(args.out, seed=args.seed)


def build_atlas(args) -> None:
    from .atlas import build_atlas

    ocr = None if args.ocr == "off" else args.ocr
    counts = build_atlas(args.book, args.out, start=args.start, ocr=ocr, translate=args.translate)
    print(", ".join(f"{count} {name}" for name, count in counts.items() if count or name == "flagged"))
    print(f"manifest: {args.out / 'manifest.csv'}; look at {args.out / 'review.html'}")


def data(args) -> None:
    from . import data_sets

    if args.what == "list":
        print(data_sets.list_sets())
    elif args.name is None:
        raise InputError(f"which data set? give its name after `{args.what}`; `data list` names them")
    elif args.what == "show":
        print(data_sets.show(args.name))
    else:
        bar = sys.stderr.isatty()  # in a log the last line is for the outcome
        print(data_sets.get(args.name, args.folder, url=args.url, sha256=args.sha256, progress=bar))


def pretrain(args) -> None:
    from .trainer import pretrain

    model_config, train_config = PRESETS[args.preset]
    changes = {
        "variant": args.variant, "seed": args.seed, "epochs": args.epochs, "batch_size": args.batch_size,
        "lr": args.lr, "max_bad": args.max_bad, "exclude_categories": tuple(args.exclude_categories),
        "revision_weight": args.revision_weight, "num_workers": args.workers, "chunk_size": args.chunk_size,
        "checkpoint_every": args.checkpoint_every, "cache_gb": args.cache_gb, "exact": args.exact or None,
    }  # fmt: skip
    train_config = dataclasses.replace(train_config, **{k: v for k, v in changes.items() if v is not None})
    changes = {
        "image_size": args.image_size, "image_weights": args.image_weights, "text_encoder": args.text_encoder,
        "normalize_over": args.normalize_over,
    }  # fmt: skip
    model_config = dataclasses.replace(model_config, **{k: v for k, v in changes.items() if v is not None})
    pretrain(model_config, train_config, args.public, args.expert, args.out, resume=args.resume, root=args.root)
    if first_process():
        print(f"finished: {args.out}")


def evaluate(args) -> None:
    from .few_shot import few_shot
    from .model import KeepFIT
    from .zero_shot import zero_shot

    given = {"shots": args.shots, "folds": args.folds, "published": args.published or None}
    given = {name: value for name, value in given.items() if value is not None}
    if args.protocol == "zero-shot" and given:
        print(f"zero-shot learns from no shots: --{' and --'.join(given)} changes nothing", file=sys.stderr)
    if args.out is not None:
        check_out(args.out, (".json",))
    model = KeepFIT.from_pretrained(local_run(args.run))
    cache = Path(args.run) / "features" if Path(args.run).is_dir() else None
    task = {"model": model, "dataset": args.dataset, "classes": split_classes(args.classes), "prompts": args.prompts}
    if args.protocol == "zero-shot":
        result = zero_shot(**task, seed=args.seed, cache=cache, root=args.root)
    else:
        result = few_shot(**task, protocol=args.protocol, **given, seed=args.seed, cache=cache, root=args.root)
    result["run"] = str(args.run)
    print_scores(result)
    if args.out is not None:
        write_aside(args.out, json.dumps(result, indent=2) + "\n")


def print_scores(result: dict) -> None:
    from statistics import stdev

    print(f"{result['dataset']}: {result['n']} pictures, {result['left_out']} left out (none, or several, of the classes)")
    folds, header = result["per_fold"], "95% interval over pictures"
    if folds:
        way = ", as published" if result["published"] else ""
        over = f"mean over {len(folds)} folds" if len(folds) > 1 else "one fold"
        print(f"{result['protocol']}{way}, {result['shots']} shots a class, {over}")
        header += ", sd over folds" if len(folds) > 1 else ""
    print(f"  {'':<24} {header}")
    for name, value in result["metrics"].items():
        low, high = result["ci95"][name]
        spread = f"  {stdev(fold[name] for fold in folds):.3f}" if len(folds) > 1 else ""
        print(f"  {name:<18} {value:.3f}  [{low:.3f}, {high:.3f}]{spread}")
    for name, value in result["recall"].items():
        print(f"  recall {name}: {value:.3f}")


def predict(args) -> None:
    from .features import picture_features
    from .model import KeepFIT
    from .viz import predictions, save
    from .zero_shot import class_vectors, probabilities

    classes = split_classes(args.classes)
    check_out(args.out, (".png", ".jpg", ".pdf", ".svg"))
    for path in args.images:
        if not path.is_file():
            raise InputError("no such picture: give the path of an image file", path)
    model = KeepFIT.from_pretrained(local_run(args.run))
    try:
        image = picture_features(model, args.images, progress=False)["vectors"]
    except OSError as error:
        raise InputError(f"picture {error}: give a JPEG, PNG or TIFF") from error
    chances = probabilities(model, image, class_vectors(model, classes, args.prompts))
    for path, row in zip(args.images, chances.tolist(), strict=True):
        print(path.name, " ".join(f"{name}={p:.3f}" for name, p in zip(classes, row, strict=True)), sep="\t")
    save(predictions(args.images, chances.numpy(), classes), args.out)
    print(f"picture: {args.out} (a teaching model, not for clinical use)")


def train_reports(args) -> None:
    from .report_files import train

    train(args.studies, args.out, args.encoder, args.preset, args.language, args.epochs, args.seed, args.missing)
    if first_process():
        print(f"finished: {args.out}")


def generate_reports(args) -> None:
    from .report_files import generate

    rows = generate(args.run, args.images, args.out, args.width, args.split, args.missing)
    for row in rows[:5]:
        print(f"{row['study']}: {row['report']}")
    print(f"{len(rows)} reports: {args.out} (a teaching model, not for clinical use)")


def reproduce(args) -> None:
    from .reproduce import reproduce, tables
    from .results import write_table

    args.out = args.out or Path("results/fast" if args.fast else "results")
    if args.table == "reports":
        reproduce_reports(args)
        return
    names = tables() if args.table == "all" else [args.table]
    reproduce(names, args.out, args.fast, args.data, args.seeds)
    for name in names:
        write_table(name, args.out)
        print((args.out / f"{name}.md").read_text(encoding="utf-8"))
        print(f"written: {args.out / name}.md, {args.out / name}.json, a file a run in {args.out / 'runs'}")


def reproduce_reports(args) -> None:
    from .report_table import reproduce_reports

    if args.data not in (None, ["drawn"]):
        raise InputError("the table of reports is made of drawn studies: leave --data away")
    reproduce_reports(args.out, args.fast, args.seeds)
    print((args.out / "reports.md").read_text(encoding="utf-8"))
    print(f"written: {args.out / 'reports'}.md, {args.out / 'reports'}.json, a file a run in {args.out / 'report_runs'}")


def results(args) -> None:
    from .results import check, render

    if args.check:
        check(args.readme)
        print("every table, verdict and README agree with the runs")
    else:
        render(args.readme)


def bench(args) -> None:
    from .bench import MEASUREMENTS, run_bench

    unknown = sorted(set(args.only) - set(MEASUREMENTS))
    if unknown:
        raise InputError(f"--only {unknown[0]}: give some of {', '.join(MEASUREMENTS)}")
    run_bench(args.out, args.presets, args.fast, args.only)
    print(f"written: {args.out / 'bench.json'}, {args.out / 'bench.md'}")


def split_classes(text: str) -> list[str]:
    names = [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]  # "a, b" in quotes is one name
    if len(names) < 2 or len({name.casefold() for name in names}) < len(names) or "" in names:
        raise InputError(f"--classes {text!r}: give two or more different names, comma between")
    return names


def local_run(run: str) -> str:
    """A run folder or a hub name; a path that is not there is refused before any network is asked."""
    if not Path(run).is_dir() and (run.count("/") != 1 or run.startswith((".", "/"))):
        raise InputError("no such run: give the folder that pretrain wrote, or a hub name like owner/model", run)
    return run


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

    def command(function, help_text, name=None):
        one = commands.add_parser(
            name or function.__name__, help=help_text, description=help_text,
            formatter_class=Help,
        )  # fmt: skip
        one.set_defaults(function=function)
        return one

    c = command(demo, "draw eyes, pretrain the baseline and KeepFIT, score both, write a report (3 minutes on two cores)")
    c.add_argument("--out", type=Path, default=Path("demo"), help="folder for results.json and report.html")
    c.add_argument("--seed", type=whole_number, default=0, help="seed of the drawing and the training")

    c = command(draw, "write the demo's drawn sets as manifests with their pictures, and the expert set as a book")
    c.add_argument("--out", type=Path, required=True, help="folder to write")
    c.add_argument("--images", type=int, default=1500, help="pictures of the public set; the others follow from it")
    c.add_argument("--size", type=int, default=64, help="pixels a side")
    c.add_argument("--seed", type=int, default=0, help="same seed, same pictures")

    c = command(build_atlas, "an eye atlas as a PDF -> manifest.csv, its pictures, and review.html", "build-atlas")
    c.add_argument("book", type=Path, metavar="BOOK.pdf", help="with a text layer, or scanned if Tesseract is installed")
    c.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to make; an earlier build in it is replaced")
    c.add_argument("--start", choices=("collect", "align", "modality", "clean"), default="collect",
                   help="step to begin with, on the tables in DIR, once you have corrected one of them")  # fmt: skip
    c.add_argument("--ocr", default="auto", metavar="LANGUAGES",
                   help="Tesseract's languages for pages without text, like eng+chi_sim; off: leave them unread")  # fmt: skip
    c.add_argument("--translate", action="store_true", help="fill a missing language with a Marian model on this machine")

    c = command(data, "the data sets of the paper and of FLAIR's tables: what they are, and getting them")
    c.add_argument("what", choices=("list", "show", "get"), help="all of them, one of them, or its pictures")
    c.add_argument("name", nargs="?", metavar="NAME", help="of a data set, as `list` has it")
    c.add_argument("--folder", type=Path, metavar="DIR", help="where the set is, or shall be [data/NAME]")
    c.add_argument("--url", help="an archive of your own mirror: zip, tar, tar.gz, tar.bz2 or tar.xz")
    c.add_argument("--sha256", help="its checksum")

    c = command(pretrain, "pretrain KeepFIT, or a variant of it, on manifests")
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

    c = command(evaluate, "score a run on a labelled manifest")
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

    c = command(predict, "probabilities and a picture for your own photographs (not for clinical use)")
    c.add_argument("run", metavar="RUN", help="run folder, or a hub name")
    c.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="photographs")
    c.add_argument("--classes", required=True, help="class names, comma between")
    c.add_argument("--prompts", choices=("names", "descriptions", "both"), default="both", help="what a class vector is made of")
    c.add_argument("--out", type=Path, default=Path("prediction.png"), help="picture to write")

    c = command(train_reports, "learn to write reports of angiograms from studies in FFA-IR's layout", "train-reports")
    c.add_argument("--studies", type=Path, required=True, metavar="JSON", help="annotation with train and val studies")
    c.add_argument("--encoder", metavar="RUN", help="a pretrained KeepFIT whose image encoder is gone on with [a random one]")
    c.add_argument("--preset", choices=("mini", "paper"), default="mini", help="size of the writer and how it learns")
    c.add_argument("--language", choices=("en", "zh"), default="en", help="of the reports")
    c.add_argument("--epochs", type=int, help="passes over the train studies [preset]")
    c.add_argument("--seed", type=whole_number, default=0, help="seed of everything random")
    c.add_argument("--missing", choices=("refuse", "drop"), default="refuse", help="what to do about a picture that is not there")
    c.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to make")

    c = command(generate_reports, "write reports for angiograms (not for clinical use)", "generate-reports")
    c.add_argument("run", metavar="RUN", help="run folder of train-reports")
    c.add_argument("--images", type=Path, nargs="+", required=True, metavar="PATH",
                   help="pictures of one study, a folder for each study, or an annotation in FFA-IR's layout")  # fmt: skip
    c.add_argument("--out", type=Path, required=True, metavar="FILE", help="file to write: .csv, .json or .txt")
    c.add_argument("--width", type=int, default=3, help="of the beam; 1 is greedy")
    c.add_argument("--split", choices=("train", "val", "test"), default="test", help="of an annotation")
    c.add_argument("--missing", choices=("refuse", "drop"), default="refuse", help="what to do about a lost picture")

    c = command(reproduce, "run what a table of the paper still lacks, then write it; may be interrupted and repeated")
    c.add_argument("table", metavar="TABLE", help="few-zero-shot, linear-probe, ablation, sweeps, knowledge, all; or reports")
    c.add_argument("--fast", action="store_true", help="small drawn eyes, one seed: at most 10 minutes on two cores")
    c.add_argument("--out", type=Path, help="folder of the runs and tables [results; --fast: results/fast]")
    c.add_argument("--data", nargs="+", choices=("drawn", "real", "real-frozen"),
                   help="on what [all that is there; real photographs where KEEPFIT_DATA is set]")  # fmt: skip
    c.add_argument("--seeds", type=whole_number, nargs="+", help="which seeds [0 1 2 3 4; --fast: 0]")

    c = command(results, "results/runs/*.json -> tables, verdicts and README's tables")
    c.add_argument("--check", action="store_true", help="change nothing; fail where a table differs from the JSON")
    c.add_argument("--readme", type=Path, default=Path("README.md"), help="file whose tables are rendered")

    c = command(bench, "measure speed and memory of every part, and against the published step (half an hour on two cores)")
    c.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for bench.json and bench.md")
    c.add_argument("--presets", nargs="+", choices=list(PRESETS), default=list(PRESETS), help="which presets")
    c.add_argument("--only", nargs="+", default=[], metavar="NAME", help="some measurements; the others stay as they were")
    c.add_argument("--fast", action="store_true", help="tiny sizes: whether it runs, not how fast")
    return top


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        args.function(args)
    except InputError as error:
        print(f"keepfit_mini: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"keepfit_mini: {in_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resume = " Go on with the same command." if args.command == "reproduce" else ""
        if args.command == "pretrain" and (args.out / "config.json").is_file():
            resume = " Go on with the same command and --resume."
        if first_process():
            print(f"keepfit_mini: stopped.{resume}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
