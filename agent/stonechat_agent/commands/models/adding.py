"""``stonechat models add``: a folder with an ONNX classifier becomes a model of this device.

The folder holds a `card.toml`, or what a card can be written from: see `exported`. Nothing is added that has not been
run: it is copied beside the added ones, opened, run with a text and with as many tokens as it should take, and only
then given its name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stonechat.errors import StonechatError
from stonechat_agent.commands.terminal import harmless
from stonechat_agent.scoring.folders import folders, place
from stonechat_agent.scoring.judging.card import Card, load
from stonechat_agent.settings import Settings
from stonechat_models import CARD, ModelError, read_card, shipped, verify

_PROBE = ("What is the capital of France?", "The capital of France is Paris.")


def add(folder: Path, settings: Settings, *, replace: bool) -> int:
    """Add a model, and say what it is and what it does.

    Raises:
        StonechatError: it cannot be used, or not be copied; nothing has changed then.
    """
    if not folder.is_dir():
        raise StonechatError(f"{folder}: not a folder\n  hint: give the folder that holds the ONNX file")
    target = place(settings)
    try:
        with _staging(target) as staged:
            notes = _stage(folder, staged)
            card = _tried(staged)
            final = target / card.name
            _refuse_taken(card, final, settings, replace=replace)
            _put(staged, final)
    except OSError as error:
        where, reason = error.filename or target, error.strerror or str(error)
        hint = (
            "\n  hint: run it as root, or as the agent's own user"
            if isinstance(error, PermissionError)
            else ""
        )
        raise StonechatError(f"{where}: {reason}{hint}") from error
    except ModelError as error:
        raise StonechatError(str(error)) from error
    print(f"added {card.name} {card.version}: {final}")
    for note in notes:
        print(f"  {harmless(note)}")
    names = ", ".join(label.name for label in card.labels)
    print(f"  labels: {names}")
    if not any(label.threshold is not None for label in card.labels):
        print(f"  it flags nothing by itself: no label in {final / CARD} has a threshold")
    print("  a running agent takes it up on reload: systemctl reload stonechat-agent")
    return 0


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder beside those of the added models, on their file system; gone afterwards unless it was moved."""
    if not target.exists():
        target.mkdir(parents=True)
        target.chmod(0o755)
    staged = Path(tempfile.mkdtemp(prefix=".adding-", dir=target))
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _put(staged: Path, final: Path) -> None:
    """Give a model its place, and remove the one that was there."""
    for path in (staged, *staged.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)  # the agent's user reads what an administrator adds
    before = staged.with_name(f"{staged.name}-before")
    if final.exists():
        os.replace(final, before)
    os.replace(staged, final)
    shutil.rmtree(before, ignore_errors=True)


def _stage(folder: Path, staged: Path) -> list[str]:
    """Copy what belongs to a model, with its card or one that is written; returns what there is to say of that."""
    if (folder / CARD).exists():
        card = load(folder)
        verify(folder)
        for name in (CARD, *card.files):
            shutil.copyfile(folder / name, staged / name)
        return []
    from stonechat_agent.commands.models.exported import stage

    taken = stage(folder, staged)
    return [
        f"{taken.graph}, {taken.tokenizer}, {taken.activation}; reads {taken.max_length} tokens of the answer alone",
        f"it judges texts in every language; name its languages in {CARD}, and others get null",
    ]


def _tried(staged: Path) -> Card:
    """Open and run what was copied.

    Raises:
        StonechatError: it cannot be used.
    """
    try:
        card = load(staged)
        verify(staged)
        _run(card)
    except StonechatError:
        raise
    # Whatever a file of strangers makes of the libraries that read it.
    except Exception as error:
        reason = harmless(str(error)).replace(f"{staged}/", "")
        raise StonechatError(f"this model cannot be used: {reason}") from error
    return card


def _run(card: Card) -> None:
    from stonechat_agent.scoring.judging.encoder import Encoder
    from stonechat_agent.scoring.judging.judges import opened

    model = opened(card, threads=1)
    model.run([_PROBE])
    if isinstance(model, Encoder):
        model.longest()


def _refuse_taken(card: Card, final: Path, settings: Settings, *, replace: bool) -> None:
    others = [*map(read_card, shipped())]
    for folder in folders(settings):
        try:
            if Path(folder) != final:
                others.append(read_card(Path(folder)))
        except ModelError:
            continue
    if any(other.get("name") == card.name for other in others):
        raise StonechatError(
            f"another model has the name '{card.name}'\n  hint: give this one another name in its {CARD}"
        )
    if final.exists() and not replace:
        raise StonechatError(
            f"'{card.name}' has been added before: {final}\n  hint: --replace takes this one instead"
        )
