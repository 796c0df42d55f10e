"""Records what a real llama-server says, for the tests that have none.

    python -m tests.engine.record

Writes tests/fixtures/dialects/llama-server-<build>/: of each case (``cases``) the raw bytes of both directions, and
NAME.json with the build, the server's options, how the connection ended, and ``row``: what the answer settles of the
exchange, by ``truth``. tests/agent/capture/test_recorded_engine.py plays them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.engine.cases import CASES, Case
from tests.engine.servers import FORMS, LlamaServer, talk
from tests.engine.truth import expected

FIXTURES = Path(__file__).parents[1] / "fixtures" / "dialects"


def main(folder: Path) -> None:
    target: Path | None = None
    for form in FORMS:
        cases = [case for case in CASES if case.form == form]
        if not cases:
            continue
        server = LlamaServer(folder, form)
        server.start()
        try:
            if target is None:
                target = folder_of(server)
            for case in cases:
                record(case, server, target)
        finally:
            server.kill()
    print(f"{len(CASES)} exchanges in {target}")


def folder_of(server: LlamaServer) -> Path:
    props = json.loads(server.get("/props").partition(b"\r\n\r\n")[2])
    target = FIXTURES / f"llama-server-{props['build_info']}"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    return target


def record(case: Case, server: LlamaServer, target: Path) -> None:
    response = talk(server.port, case.request, case.leave, case.after_seconds)
    about = {
        "build": target.name,
        "server": " ".join(FORMS[case.form]),
        "turns": [[len(case.request), len(response)]],
        "end": "client_closed" if case.leaves else "engine_closed",
        "row": expected(case.path, response, left=bool(case.leaves)),
    }
    (target / f"{case.name}.request").write_bytes(case.request)
    (target / f"{case.name}.response").write_bytes(response)
    (target / f"{case.name}.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    from tests.engine.build_engine import main as build

    main(build(Path(__file__).parents[2] / ".dev" / "engine"))
