"""Builds the llama-server and the model that tests/engine drives, once a version, and prints the folder they are in.

    python tests/engine/build_engine.py FOLDER

The server comes out of the llama.cpp tree inside the source package of llama-cpp-python, pinned by its hash; nothing
else is downloaded. It takes a C++ compiler, cmake and ninja, and about ten minutes of two cores (``./dev test engine``
brings the tools). What was built stays in FOLDER/<version>; the sources and objects go.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path

VERSION = "0.3.36"
SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
TREE = f"llama_cpp_python-{VERSION}/vendor/llama.cpp"
KEPT = {
    "models/ggml-vocab-llama-spm.gguf": "vocabulary.gguf",
    # With these chat templates even random weights think, or call a tool when they have to.
    "models/templates/Qwen-QwQ-32B.jinja": "reasoning.jinja",
    "models/templates/CohereForAI-c4ai-command-r-plus-tool_use.jinja": "tools.jinja",
}
# Alike on every machine: no GPU, no TLS, no web page, nothing that the build would fetch.
OPTIONS = (
    "CMAKE_BUILD_TYPE=Release",
    "BUILD_SHARED_LIBS=OFF",
    "GGML_OPENMP=OFF",
    "LLAMA_BUILD_APP=OFF",
    "LLAMA_BUILD_COMMIT=0c1e570",  # the commit of that tree; else it is asked of git, which may not be there
    "LLAMA_BUILD_EXAMPLES=OFF",
    "LLAMA_BUILD_NUMBER=1",
    "LLAMA_BUILD_TESTS=OFF",
    "LLAMA_BUILD_UI=OFF",
    "LLAMA_CURL=OFF",
    "LLAMA_OPENSSL=OFF",
    "LLAMA_USE_PREBUILT_UI=OFF",
)


def main(folder: Path) -> Path:
    """Return the folder of the server and the model, built if they are not there yet."""
    done = folder / VERSION
    if not (done / "llama-server").exists():
        done.mkdir(parents=True, exist_ok=True)
        build(done)
    if not (done / "random.gguf").exists():
        make_model(done)
    return done


def build(done: Path) -> None:
    """Build the server into its folder. An interrupted build goes on where it was."""
    archive = done / f"llama_cpp_python-{VERSION}.tar.gz"
    if not archive.exists():
        say(f"downloading the source package of llama-cpp-python {VERSION}")
        package = ["--no-deps", "--no-binary", ":all:", f"llama-cpp-python=={VERSION}"]
        run(sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(done), *package)
    if hashlib.sha256(archive.read_bytes()).hexdigest() != SHA256:
        archive.unlink()
        raise SystemExit(f"{archive.name} is not the package that was pinned; it is deleted: run this again")
    tree, work = done / TREE, done / "build"
    if not tree.exists():
        with tarfile.open(archive) as packed:
            packed.extractall(done, filter="data") if hasattr(tarfile, "data_filter") else packed.extractall(
                done
            )
    cores = str(os.cpu_count() or 1)
    say("building llama-server: about ten minutes of two cores")
    began = time.monotonic()
    with (done / "build.log").open("wb") as log:
        configure = ["cmake", "-G", "Ninja", "-S", str(tree), "-B", str(work), *(f"-D{o}" for o in OPTIONS)]
        run(*configure, log=log.fileno())
        run("cmake", "--build", str(work), "-j", cores, "--target", "llama-server", log=log.fileno())
    say(f"built in {time.monotonic() - began:.0f} s")
    for source, name in KEPT.items():
        shutil.copy(tree / source, done / name)
    shutil.copytree(tree / "gguf-py" / "gguf", done / "gguf-py" / "gguf", dirs_exist_ok=True)
    shutil.move(work / "bin" / "llama-server", done / "llama-server")
    for bulky in (work, done / TREE.partition("/")[0]):
        shutil.rmtree(bulky)
    archive.unlink()


def make_model(done: Path) -> None:
    """Write the model with random weights, by the gguf package of the same tree."""
    script = Path(__file__).with_name("random_model.py")
    environ = {**os.environ, "PYTHONPATH": str(done / "gguf-py")}
    run(
        sys.executable,
        str(script),
        str(done / "vocabulary.gguf"),
        str(done / "random.gguf"),
        environ=environ,
    )


def run(*command: str, log: int | None = None, environ: dict[str, str] | None = None) -> None:
    """Run a command, niced, with its output in a log or on standard error."""
    try:
        subprocess.run(
            ["nice", *command],
            check=True,
            stdout=log if log is not None else sys.stderr.fileno(),
            stderr=log,
            env=environ,
        )
    except subprocess.CalledProcessError as error:
        raise SystemExit(
            f"failed ({error.returncode}): {' '.join(command)}\n  its output: build.log"
        ) from None


def say(text: str) -> None:
    print(f"engine: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    print(main(Path(sys.argv[1]).resolve()))
