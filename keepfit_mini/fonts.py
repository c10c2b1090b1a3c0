"""Where a font with Chinese characters lies on this machine: of a package, else of the system. Not about: drawing with it."""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

from .config import InputError

PACKAGE = "pylopdf_fonts_zh_cn"
SYSTEM = (r"Noto\w*(?:CJK|SC)\W?\w*-Regular", "SourceHanSans", "wqy-", "PingFang", "msyh", "simhei")  # the best first


@cache
def chinese_fonts() -> dict[str, str]:
    """{"sans": file, "serif": file}; of the system one file serves as both. InputError: there is none, and what to install."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec and spec.origin:
        files = {kind: Path(spec.origin).with_name(f"Noto{kind.title()}SC-Regular.otf") for kind in ("sans", "serif")}
        if all(file.is_file() for file in files.values()):
            return {kind: str(file) for kind, file in files.items()}
    from matplotlib.font_manager import findSystemFonts  # slow to import, and seldom needed

    found = sorted(file for kind in ("ttf", "otf") for file in findSystemFonts(fontext=kind))
    for pattern in SYSTEM:
        if file := next((file for file in found if re.search(pattern, Path(file).name, re.IGNORECASE)), None):
            return {"sans": file, "serif": file}
    raise InputError("no Chinese font here: install the package pylopdf-fonts-zh-cn, or Debian's fonts-noto-cjk or "
                     "fonts-wqy-microhei")  # fmt: skip
