import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

import stonechat_models
from stonechat_models import ModelError, model_path, read_card, shipped, verify


def _folder(tmp_path: Path, content: bytes = b"weights", digest: str | None = None) -> Path:
    (tmp_path / "model.onnx").write_bytes(content)
    digest = hashlib.sha256(content).hexdigest() if digest is None else digest
    (tmp_path / "card.toml").write_text(f'name = "x"\n[files]\n"model.onnx" = "{digest}"\n')
    return tmp_path


@pytest.mark.parametrize("name", shipped())
def test_every_shipped_model_matches_its_card(name: str) -> None:
    verify(name)
    card = read_card(name)
    assert card["name"]
    assert card["licence"]
    # What the benchmark measured stands beside the model and is made after it.
    found = {path.name for path in model_path(name).iterdir()} - {"eval.json"}
    assert found == {"card.toml", *card["files"]}


def test_the_demo_model_is_shipped_and_small() -> None:
    assert "demo_lm" in shipped()
    assert sum(path.stat().st_size for path in model_path("demo_lm").iterdir()) <= 8 << 20
    licences = {source["licence"] for source in read_card("demo_lm")["source"]}
    assert licences <= {"MIT", "Apache-2.0", "CC0-1.0", "CC-BY-4.0"}


def test_a_folder_of_ones_own_is_read_and_verified(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    assert read_card(folder)["name"] == "x"
    verify(folder)


def test_a_changed_file_is_named_with_both_digests(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"model\.onnx: SHA-256 is [0-9a-f]{64}, the card says [0-9a-f]{64}"):
        verify(folder)


def test_all_faults_are_named_together(tmp_path: Path) -> None:
    (tmp_path / "card.toml").write_text('[files]\n"a.onnx" = "0"\n"../b" = "0"\n')
    with pytest.raises(ModelError, match=r"a\.onnx: No such file.*'\.\./b': not a plain file name"):
        verify(tmp_path)


@pytest.mark.parametrize(
    ("card", "message"),
    [(None, "cannot be read"), ("name = ", "not TOML"), ('name = "x"\n', r"no \[files\] table")],
)
def test_a_bad_card_says_what_is_wrong(tmp_path: Path, card: str | None, message: str) -> None:
    if card is not None:
        (tmp_path / "card.toml").write_text(card)
    with pytest.raises(ModelError, match=message):
        verify(tmp_path)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(ModelError, match=r"'nope': not shipped; there are: .*demo_lm"):
        model_path("nope")


def test_only_the_standard_library_is_imported() -> None:
    code = (
        "import sys; before = set(sys.modules); import stonechat_models; "
        "print({m.split('.')[0] for m in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    root = str(Path(stonechat_models.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in ("{'stonechat_models'}", "{'tomli', 'stonechat_models'}")
