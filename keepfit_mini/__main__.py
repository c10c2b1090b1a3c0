"""The command line: python -m keepfit_mini COMMAND. Each command is one function; bad input ends with one line and exit 2."""

from __future__ import annotations

import csv
import dataclasses
import json
import sys
from pathlib import Path

from .arguments import parser
from .config import PRESETS, InputError, check_out, first_process, in_one_line, write_aside


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

    train(args.studies, args.out, args.encoder, args.preset, args.language, args.epochs, args.seed, args.missing, args.root,
          args.limit)  # fmt: skip
    if first_process():
        print(f"finished: {args.out}")


def generate_reports(args) -> None:
    from .report_files import generate

    rows = generate(args.run, args.images, args.out, args.width, args.split, args.missing, args.root, args.block)
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


COMMANDS = {
    "demo": demo, "draw": draw, "build-atlas": build_atlas, "data": data, "pretrain": pretrain, "evaluate": evaluate,
    "predict": predict, "train-reports": train_reports, "generate-reports": generate_reports, "reproduce": reproduce,
    "results": results, "bench": bench,
}  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a sign that the console cannot show becomes ?
    args = parser().parse_args(arguments)
    try:
        COMMANDS[args.command](args)
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
