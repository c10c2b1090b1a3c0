"""The command line: python -m keepfit_mini COMMAND. Each command is one function; bad input ends with one line and exit 2."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from .config import PRESETS, VARIANTS, InputError, write_aside


def draw(args) -> None:
    from .drawn_sets import draw_sets

    for name, path in draw_sets(args.out, images=args.images, size=args.size, seed=args.seed).items():
        print(f"{name}: {path}")


def demo(args) -> None:
    from .demo import run_demo

    run_demo(args.out, seed=args.seed)


def pretrain(args) -> None:
    from .trainer import pretrain

    model_config, train_config = PRESETS[args.preset]
    changes = {
        "variant": args.variant, "seed": args.seed, "epochs": args.epochs, "batch_size": args.batch_size,
        "lr": args.lr, "max_bad": args.max_bad, "exclude_categories": tuple(args.exclude_categories),
        "revision_weight": args.revision_weight, "num_workers": args.workers,
    }  # fmt: skip
    train_config = dataclasses.replace(train_config, **{k: v for k, v in changes.items() if v is not None})
    changes = {
        "image_size": args.image_size, "image_weights": args.image_weights, "text_encoder": args.text_encoder,
        "normalize_over": args.normalize_over,
    }  # fmt: skip
    model_config = dataclasses.replace(model_config, **{k: v for k, v in changes.items() if v is not None})
    pretrain(model_config, train_config, args.public, args.expert, args.out, resume=args.resume)
    print(f"finished: {args.out}")


def evaluate(args) -> None:
    from .model import KeepFIT
    from .zero_shot import zero_shot

    if args.out is not None:
        check_out(args.out, (".json",))
    model = KeepFIT.from_pretrained(local_run(args.run))
    result = zero_shot(model, args.dataset, split_classes(args.classes), args.prompts, seed=args.seed)
    result["run"] = str(args.run)
    print(f"{result['dataset']}: {result['n']} pictures, {result['left_out']} left out (none, or several, of the classes)")
    for name, value in result["metrics"].items():
        low, high = result["ci95"][name]
        print(f"  {name:<16} {value:.3f}  [{low:.3f}, {high:.3f}]")
    for name, value in result["recall"].items():
        print(f"  recall {name}: {value:.3f}")
    if args.out is not None:
        write_aside(args.out, json.dumps(result, indent=2) + "\n")


def predict(args) -> None:
    from .model import KeepFIT
    from .viz import predictions, save
    from .zero_shot import class_vectors, image_vectors, probabilities

    classes = split_classes(args.classes)
    check_out(args.out, (".png", ".jpg", ".pdf", ".svg"))
    for path in args.images:
        if not path.is_file():
            raise InputError("no such picture: give the path of an image file", path)
    model = KeepFIT.from_pretrained(local_run(args.run))
    try:
        image = image_vectors(model, args.images, progress=False)
    except OSError as error:
        raise InputError(f"picture {error}: give a JPEG, PNG or TIFF") from error
    chances = probabilities(model, image, class_vectors(model, classes, args.prompts))
    for path, row in zip(args.images, chances.tolist(), strict=True):
        print(path.name, " ".join(f"{name}={p:.3f}" for name, p in zip(classes, row, strict=True)), sep="\t")
    save(predictions(args.images, chances.numpy(), classes), args.out)
    print(f"picture: {args.out} (a teaching model, not for clinical use)")


def results(args) -> None:
    from .results import check, render

    check(args.readme) if args.check else render(args.readme)


def split_classes(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if len(names) < 2 or len({name.casefold() for name in names}) < len(names) or "" in names:
        raise InputError(f"--classes {text!r}: give two or more different names, comma between")
    return names


def check_out(path: Path, endings: tuple[str, ...]) -> None:
    """Refuse an output file that cannot be written, before the work is done."""
    if path.is_dir() or path.suffix.lower() not in endings:
        raise InputError(f"give --out the path of a file that ends in {' or '.join(endings)}", path)
    if path.parent.exists() and not path.parent.is_dir():
        raise InputError("the folder of --out is a file: give another path", path)


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
    if int(text) < 0:
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

    c = command(draw, "write the demo's drawn sets as manifests with their pictures; sets of an earlier call are replaced")
    c.add_argument("--out", type=Path, required=True, help="folder to write")
    c.add_argument("--images", type=int, default=1500, help="pictures of the public set; the others follow from it")
    c.add_argument("--size", type=int, default=64, help="pixels a side")
    c.add_argument("--seed", type=int, default=0, help="same seed, same pictures")

    c = command(pretrain, "pretrain KeepFIT, or a variant of it, on manifests")
    c.add_argument("--preset", choices=list(PRESETS), default="mini", help="model and schedule (config.py)")
    c.add_argument("--public", type=Path, nargs="+", required=True, metavar="CSV", help="manifests with labels")
    c.add_argument("--expert", type=Path, nargs="+", metavar="CSV", help="manifests with captions")
    c.add_argument("--out", type=Path, required=True, metavar="RUN", help="run folder to make")
    c.add_argument("--variant", choices=VARIANTS, default="revision+mixed", help="which losses (mixed_loss.py)")
    c.add_argument("--seed", type=int, default=42, help="seed of everything random")
    c.add_argument("--exclude-categories", nargs="+", default=[], metavar="WORDS",
                   help="leave out public rows one of whose categories contains one of these")  # fmt: skip
    c.add_argument("--max-bad", type=float, help="share of pictures that may fail to decode [preset: 0.01]")
    c.add_argument("--resume", action="store_true", help="go on with RUN from its last checkpoint")
    c.add_argument("--epochs", type=int, help="passes over the public rows [preset]")
    c.add_argument("--batch-size", type=int, help="public rows a step [preset]")
    c.add_argument("--lr", type=float, help="learning rate [preset]")
    c.add_argument("--revision-weight", type=float, help="weight of the revision loss [100; 1 for `revision`]")
    c.add_argument("--image-size", type=int, help="pixels a side [preset]")
    c.add_argument("--image-weights", help="'imagenet' or a .pth/.safetensors file [preset]")
    c.add_argument("--text-encoder", help="hub name or local folder of a BERT [preset]")
    c.add_argument("--normalize-over", choices=("experts", "heads"), help="softmax of the revision: the paper or its code")
    c.add_argument("--workers", type=int, help="processes that read pictures [preset]")

    c = command(evaluate, "score a run on a labelled manifest")
    c.add_argument("run", metavar="RUN", help="run folder, or a hub name")
    c.add_argument("--dataset", type=Path, required=True, metavar="CSV", help="manifest with labels")
    c.add_argument("--classes", required=True, help="class names, comma between; rows with none of them are left out")
    c.add_argument("--protocol", choices=["zero-shot"], default="zero-shot", help="how classes are told apart")
    c.add_argument("--prompts", choices=("names", "descriptions", "both"), default="both", help="what a class vector is made of")
    c.add_argument("--seed", type=whole_number, default=0, help="seed of the bootstrap")
    c.add_argument("--out", type=Path, metavar="FILE.json", help="write the scores here")

    c = command(predict, "probabilities and a picture for your own photographs (not for clinical use)")
    c.add_argument("run", metavar="RUN", help="run folder, or a hub name")
    c.add_argument("images", metavar="IMAGE", type=Path, nargs="+", help="photographs")
    c.add_argument("--classes", required=True, help="class names, comma between")
    c.add_argument("--prompts", choices=("names", "descriptions", "both"), default="both", help="what a class vector is made of")
    c.add_argument("--out", type=Path, default=Path("prediction.png"), help="picture to write")

    c = command(results, "render results/*.json into the README's tables")
    c.add_argument("--check", action="store_true", help="change nothing; fail where README differs from the JSON")
    c.add_argument("--readme", type=Path, default=Path("README.md"), help="file whose tables are rendered")
    return top


def main(arguments: list[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    try:
        args.function(args)
    except InputError as error:
        print(f"keepfit_mini: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a folder that cannot be written, a full disk, ...
        place = error.filename or "input or output"
        print(f"keepfit_mini: {place}: {error.strerror or error}: mend it, then try again", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        begun = args.command == "pretrain" and (args.out / "config.json").is_file()
        resume = " Go on with the same command and --resume." if begun else ""
        print(f"keepfit_mini: stopped.{resume}", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
