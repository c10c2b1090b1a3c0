"""The data sets of the paper and of FLAIR's tables: what they are, and getting them.

    python data_scripts/get.py list
    python data_scripts/get.py show odir
    python data_scripts/get.py refuge --folder ~/downloads/REFUGE
    python data_scripts/get.py hrf --folder data/hrf
    python data_scripts/get.py odir --folder data/odir --url https://my.host/odir.zip --sha256 0123...

A folder that is there is looked through: how many of the expected pictures it holds. One that is not there yet is downloaded to,
if the table has an address with a checksum or you give your own; else the last line says how to get it by hand (exit code 2).
"""

from __future__ import annotations

import argparse
import sys

from keepfit_mini import __main__


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="list, show, or the name of a data set")
    parser.add_argument("which", nargs="?", help="after show: the name of a data set")
    parser.add_argument("--folder", help="where the set is, or shall be (default data/NAME)")
    parser.add_argument("--url", help="an archive of your own mirror: zip, tar, tar.gz, tar.bz2 or tar.xz")
    parser.add_argument("--sha256", help="its checksum")
    args = parser.parse_args(arguments)
    words = [args.name, *([args.which] if args.which else [])] if args.name in ("list", "show") else ["get", args.name]
    for option in ("folder", "url", "sha256"):
        if getattr(args, option) is not None:
            words += [f"--{option}", getattr(args, option)]
    return __main__.main(["data", *words])


if __name__ == "__main__":
    sys.exit(main())
