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
from pathlib import Path

from keepfit_mini import data_sets
from keepfit_mini.config import InputError, script


@script
def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="list, show, or the name of a data set")
    parser.add_argument("which", nargs="?", help="after show: the name of a data set")
    parser.add_argument("--folder", type=Path, help="where the set is, or shall be (default data/NAME)")
    parser.add_argument("--url", help="an archive of your own mirror: zip, tar, tar.gz, tar.bz2 or tar.xz")
    parser.add_argument("--sha256", help="its checksum")
    args = parser.parse_args(arguments)
    if args.name == "list":
        print(data_sets.list_sets())
    elif args.name == "show":
        if not args.which:
            raise InputError("which data set? give its name after `show`")
        print(data_sets.show(args.which))
    else:
        bar = sys.stderr.isatty()  # in a log the last line is for the outcome
        print(data_sets.get(args.name, args.folder, url=args.url, sha256=args.sha256, progress=bar))
    return 0


if __name__ == "__main__":
    sys.exit(main())
