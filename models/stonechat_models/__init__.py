"""The ONNX models that ship with Stonechat, and how to read a model folder.

A model is a plain folder: the ONNX file, its tokenizer and `card.toml`, whose `[files]` table holds the SHA-256 of each
file. A user's own folder has the same form, so `read_card` and `verify` take the name of a shipped model (`str`) or a
folder (`Path`). Nothing here imports more than the standard library.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["CARD", "ModelError", "model_path", "read_card", "shipped", "verify"]

CARD = "card.toml"


class ModelError(Exception):
    """A model folder cannot be used; the message says which file, what was found and what to do."""


def _root() -> Path:
    # A regular package on disk: hatchling's wheels are unpacked and onnxruntime maps its files by path.
    return Path(str(files(__name__)))


def shipped() -> tuple[str, ...]:
    """Return the names of the models in this package, sorted."""
    return tuple(sorted(card.parent.name for card in _root().glob(f"*/{CARD}")))


def model_path(name: str) -> Path:
    """Return the folder of a shipped model.

    Raises:
        ModelError: there is none of that name.
    """
    if name not in shipped():
        raise ModelError(f"model {name!r}: not shipped; there are: {', '.join(shipped()) or 'none'}")
    return _root() / name


def _folder(model: str | Path) -> Path:
    return model_path(model) if isinstance(model, str) else model


def read_card(model: str | Path) -> dict[str, Any]:
    """Return the card of a shipped model (by name) or of a folder, as TOML gives it.

    Raises:
        ModelError: no such model, or its card is missing or not TOML.
    """
    path = _folder(model) / CARD
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(
            f"{path}: cannot be read: {error.strerror}; expected a folder with the model, its tokenizer and {CARD}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ModelError(f"{path}: not TOML: {error}") from error


def verify(model: str | Path) -> None:
    """Compare every file that the card names with its SHA-256. A file of some megabytes takes some milliseconds.

    Raises:
        ModelError: as `read_card`; or the card has no checksums, a file is missing, or one differs. All are named.
    """
    folder = _folder(model)
    named = read_card(folder).get("files")
    if not isinstance(named, dict) or not named:
        raise ModelError(f"{folder / CARD}: no [files] table; expected the SHA-256 of each file of the model")
    faults = []
    for name, wanted in named.items():
        path = folder / name
        if path.parent != folder:
            faults.append(f"{name!r}: not a plain file name")
            continue
        try:
            with path.open("rb") as stream:
                digest = hashlib.sha256()
                while block := stream.read(1 << 20):
                    digest.update(block)
        except OSError as error:
            faults.append(f"{path}: {error.strerror}")
            continue
        if digest.hexdigest() != wanted:
            faults.append(f"{path}: SHA-256 is {digest.hexdigest()}, the card says {wanted}")
    if faults:
        raise ModelError(
            "; ".join(faults) + ". Install the model again, or correct the card if you changed the file."
        )
