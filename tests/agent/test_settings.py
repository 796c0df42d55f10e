from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from stonechat import ids
from stonechat.errors import ConfigError
from stonechat.kinds import Address, Url
from stonechat_agent import settings


def load(tmp_path: Path, text: str, **environ: str) -> settings.Settings:
    file = tmp_path / "agent.toml"
    file.write_text(text)
    return settings.load(str(file), {"HOME": str(tmp_path), **environ})


def faults(tmp_path: Path, text: str, **environ: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text, **environ)
    return [f"{fault.key}: {fault.expected}" for fault in caught.value.faults]


def test_an_empty_file_works(tmp_path: Path) -> None:
    loaded = load(tmp_path, "")
    assert ids.is_device_id(loaded.device.id)
    assert loaded.device.fleet == "default"
    (engine,) = loaded.engines
    assert engine.upstream == Url("http", "127.0.0.1", 8080, "")
    assert engine.listen == Address("127.0.0.1", 8089)
    assert engine.max_body_bytes == 1 << 20
    assert loaded.window.length_ns == 60_000_000_000
    assert loaded.mqtt.url is None
    assert loaded.local.listen == Address("127.0.0.1", 8401)
    assert loaded.file == str(tmp_path / "agent.toml")


def test_the_example_of_the_design_works(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        """
        [device]
        id = "kiosk-017"
        fleet = "shops"
        labels = { site = "berlin", ring = "canary" }
        [engine]
        upstream = "http://127.0.0.1:8080"
        listen = "127.0.0.1:8089"
        [sampling]
        interval = "1s"
        [window]
        length = "60s"
        [spool]
        max_size = "64MiB"
        [mqtt]
        url = "mqtts://collector.example:8883"
        [local]
        listen = "127.0.0.1:8401"
        """,
    )
    assert loaded.device == settings.Device("kiosk-017", "shops", {"site": "berlin", "ring": "canary"})
    assert loaded.mqtt.url == Url("mqtts", "collector.example", 8883, "")


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="cannot be read: no such file or directory\n  hint: write it"):
        settings.load(missing)
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        settings.load(str(tmp_path))


def test_the_default_file_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "DEFAULT_FILE", str(tmp_path / "none.toml"))
    assert settings.load(None, {}).file == ""
    (tmp_path / "none.toml").write_text("[windw]\n")
    with pytest.raises(
        ConfigError, match=r"none.toml: windw: unknown table\n  hint: did you mean \[window\]\?"
    ):
        settings.load(None, {})


def test_the_spool_lies_where_the_service_may_write(tmp_path: Path) -> None:
    assert load(tmp_path, "", STATE_DIRECTORY="/var/lib/a:/var/lib/b").spool.path == "/var/lib/a"
    assert load(tmp_path, '[spool]\npath = "/data/s"', STATE_DIRECTORY="/var/lib/a").spool.path == "/data/s"


def test_several_engines(tmp_path: Path) -> None:
    text = """
        [[engine]]
        name = "chat"
        unit = "llama-server@chat.service"
        [[engine]]
        name = "embed"
        upstream = "http://[::1]:9090"
        listen = "[::1]:9091"
        process = "ollama"
    """
    chat, embed = load(tmp_path, text).engines
    assert (chat.name, chat.unit) == ("chat", "llama-server@chat.service")
    assert (embed.name, embed.process, embed.upstream) == ("embed", "ollama", Url("http", "::1", 9090, ""))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[engine]]\n[[engine]]", 'engine[1].name: "engine" names engine[0] already'),
        ("[[engine]]\n[[engine]]", "engine[1].listen: 127.0.0.1:8089 is taken by engine[0].listen"),
        ('[local]\nlisten = "127.0.0.1:8089"', "local.listen: 127.0.0.1:8089 is taken by engine[0].listen"),
        (
            '[engine]\nlisten = "127.0.0.1:8080"',
            "engine.listen: must differ from upstream: the relay would dial itself",
        ),
        (
            '[engine]\nupstream = ""',
            'engine.upstream: must be a URL that starts with http://, such as "http://127.0.0.1:8080"',
        ),
        (
            '[engine]\nupstream = "http://a/v1"',
            "engine.upstream: must have no path: the relay forwards each request's own",
        ),
        ('[engine]\nunit = "a/b"', 'engine.unit: must be a systemd unit such as "ollama.service"'),
        ('[window]\nlength = "7s"', "window.length: must divide a day into equal windows"),
        ('[window]\nlength = "500ms"', 'window.length: must be a duration of "1s" to "1h"'),
        ('[mqtt]\nurl = "mqtt://a"\nca_file = "/c"', "mqtt.ca_file: has no effect on an mqtt:// URL"),
        ('[mqtt]\nurl = "mqtts://a"\ncert_file = "/c"', "mqtt.cert_file: needs key_file beside it"),
        ('[mqtt]\nurl = "mqtts://a"\nkey_file = "/c"', "mqtt.key_file: needs cert_file beside it"),
        ('[mqtt]\nurl = "mqtts://a"\npassword_file = "/c"', "mqtt.password_file: needs username beside it"),
        ('[mqtt]\nkeep_alive = "5500ms"', "mqtt.keep_alive: must be whole seconds: MQTT counts in them"),
        ('[mqtt]\nprotocol = "3.1"', 'mqtt.protocol: must be one of "5", "3.1.1"; did you mean "3.1.1"?'),
        (
            '[device]\nid = "Kiosk"',
            'device.id: must be a name of 1 to 63 of a-z, 0-9 and "-", such as "kiosk-017"',
        ),
        ('[sampling]\nproc_root = "proc"', "sampling.proc_root: must be an absolute path"),
        ('[guideline]\nforbidden = ["x"]', "guideline.name: must be given"),
        ('[guideline]\nname = "a"', "guideline.name: has nothing that breaks it"),
        (
            '[guideline]\nname = "No news"',
            'guideline.name: must be a name of 1 to 40 of a-z, 0-9 and "-", such as "price-promises"',
        ),
        (
            '[[guideline]]\nname = "a"\nforbidden = ["x"]\n[[guideline]]\nname = "b"\nforbidden = ["x", "(y"]',
            "guideline[1].forbidden: must be a list of at most 64 regular expressions such as "
            "['(?i)\\bno refunds?\\b']; number 2 is not a regular expression: missing ), unterminated subpattern "
            "at position 0",
        ),
        (
            '[guideline]\nname = "a"\nrequired = ["x*"]',
            "guideline.required: must be a list of at most 64 regular expressions such as "
            "['(?i)\\bno refunds?\\b']; number 1 must not match the empty text",
        ),
        (
            '[guideline]\nname = "a"\nforbidden = ["x"]\napplies_to = "["',
            "guideline.applies_to: must be a regular expression such as '(?i)\\brefund'; this is not a regular "
            "expression: unterminated character set at position 0",
        ),
        (
            '[guideline]\nname = "a"\nexamples = ["Buy now.", " "]',
            "guideline.examples: must be a list of at most 64 texts of 1 to 512 characters, such as "
            '["We never close."]; number 2 is none',
        ),
        ('[guideline]\nname = "a"\nmodel = "m"', "guideline.label: must be given: a model may have several"),
        (
            '[guideline]\nname = "a"\nforbidden = ["x"]\nlabel = "l"',
            "guideline.label: has no effect without model",
        ),
        (
            '[guideline]\nname = "a"\nforbidden = ["x"]\nsimilarity = 0.5',
            "guideline.similarity: has no effect without examples",
        ),
        (
            '[[guideline]]\nname = "a"\nforbidden = ["x"]\n' * 2,
            'guideline[1].name: "a" names guideline[0] already',
        ),
        (
            "".join(f'[[guideline]]\nname = "g{n}"\nforbidden = ["x"]\n' for n in range(17)),
            "guideline: at most 16, and there are 17",
        ),
    ],
)
def test_what_cannot_work_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in faults(tmp_path, text)


def test_guidelines(tmp_path: Path) -> None:
    assert load(tmp_path, "").guidelines == ()
    (one,) = load(tmp_path, '[guideline]\nname = "a"\nforbidden = ["x"]').guidelines
    assert (one.severity, one.forbidden, one.required, one.examples) == ("warning", ("x",), (), ())
    text = """
        [[guideline]]
        name = "no-dosage"
        severity = "critical"
        description = "Doses are for doctors."
        forbidden = ['(?i)\\btake two\\b', 'mg\\b']
        examples = ["Take two tablets."]
        similarity = 0.8
        [[guideline]]
        name = "disclaimer"
        applies_to = '(?i)headache'
        required = ['(?i)doctor']
        model = "medical"
        label = "advice"
        threshold = 0.7
    """
    dosage, disclaimer = load(tmp_path, text).guidelines
    assert (dosage.forbidden, dosage.similarity) == ((r"(?i)\btake two\b", r"mg\b"), 0.8)
    assert (disclaimer.applies_to, disclaimer.model, disclaimer.threshold) == ("(?i)headache", "medical", 0.7)


def test_port_0_may_stand_twice(tmp_path: Path) -> None:
    loaded = load(tmp_path, '[engine]\nlisten = "127.0.0.1:0"\n[local]\nlisten = "127.0.0.1:0"')
    assert loaded.local.listen.port == 0


SECURE = '[mqtt]\nurl = "mqtts://broker"\nusername = "kiosk"\n'


def test_the_key_of_an_engine_is_a_file_like_the_others(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    text = '[[engine]]\napi_key_file = "key"\n[[engine]]\nname = "b"\nlisten = "127.0.0.1:1"\n'
    assert load(tmp_path, text).engines[0].api_key_file == str(tmp_path / "key")
    assert faults(tmp_path, text + 'api_key_file = "nowhere"\n') == [
        "engine[1].api_key_file: cannot be read: no such file or directory"
    ]
    assert faults(tmp_path, '[engine]\napi_key_file = "credential:gone"\n') == [
        "engine.api_key_file: cannot be read: no such file or directory"
    ]


def test_files_are_found_beside_the_file_and_among_the_credentials(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "pw").touch()
    (tmp_path / "ca.pem").touch()
    loaded = load(
        tmp_path,
        f'{SECURE}password_file = "credential:pw"\nca_file = "ca.pem"\n',
        CREDENTIALS_DIRECTORY=str(credentials),
    )
    assert loaded.mqtt.password_file == str(credentials / "pw")
    assert loaded.mqtt.ca_file == str(tmp_path / "ca.pem")


def test_missing_files_are_told_with_all_other_faults(tmp_path: Path) -> None:
    text = f'{SECURE}password_file = "pw"\nca_file = "/nowhere/ca.pem"\n[window]\nlength = 60\n'
    assert faults(tmp_path, text) == [
        'window.length: must be a duration of "1s" to "1h"',
        "mqtt.password_file: cannot be read: no such file or directory",
        "mqtt.ca_file: cannot be read: no such file or directory",
    ]


def test_other_commands_need_not_read_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = f'{SECURE}password_file = "credential:pw"\n'
    assert faults(tmp_path, text) == ["mqtt.password_file: cannot be read: no such file or directory"]
    settings.load(str(tmp_path / "agent.toml"), {}, as_service=False)


@pytest.fixture
def directory() -> Iterator[Path]:
    """One that other users may read: pytest closes its own to them whenever it is started."""
    with tempfile.TemporaryDirectory(prefix="stonechat-") as name:
        os.chmod(name, 0o755)
        yield Path(name)


def test_a_secret_of_another_user_is_a_fault_of_the_service_only(directory: Path) -> None:
    (directory / "pw").touch(0o600)
    (directory / "agent.toml").write_text(f'{SECURE}password_file = "{directory}/pw"\n')
    loads = (
        "import os\nfrom stonechat_agent.settings import load\n"
        "import stonechat.errors\n"
        f"file = {str(directory / 'agent.toml')!r}\n"
        "load(file, {})  # imports what it needs, before the rights to read that go\n"
        "if os.geteuid() == 0:\n    os.setegid(65534); os.seteuid(65534)\n"
        "else:\n    os.chmod(file.replace('agent.toml', 'pw'), 0)\n"
        "load(file, {}, as_service=False)\n"
        "try:\n    load(file, {})\nexcept stonechat.errors.ConfigError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", loads], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stderr == ""
    assert "mqtt.password_file" in done.stdout
    assert "cannot be read: permission denied" in done.stdout
