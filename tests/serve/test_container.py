"""The container: what its files promise is checked here, where no container can be run; its start command is run."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml
from served import HERE, started

from xlip.cli.parse import parse
from xlip.serve.config import ServeConfig
from xlip.serve.run import check_safe
from xlip.serve.tokens import Tokens

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker" / "compose.yaml"
COMPILERS = re.compile(r"\b(gcc|g\+\+|clang|build-essential|make|cmake|cargo|rustc|apt-get|apk)\b")


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage: (name, the rest of the line)."""
    text = (ROOT / "docker" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found: list[list[tuple[str, str]]] = []
    for line in lines:
        name, _, rest = line.partition(" ")
        assert name in {
            "FROM",
            "WORKDIR",
            "COPY",
            "RUN",
            "LABEL",
            "ENV",
            "USER",
            "EXPOSE",
            "STOPSIGNAL",
            "HEALTHCHECK",
            "ENTRYPOINT",
            "CMD",
        }
        if name == "FROM":
            found.append([])
        found[-1].append((name, rest.strip()))
    return found


def last(name: str) -> str:
    return [rest for instruction, rest in stages()[-1] if instruction == name][-1]


def test_the_image_is_slim_has_no_compiler_and_no_root() -> None:
    for stage in stages():
        base = stage[0][1].split()[0]
        assert re.fullmatch(r"python:3\.\d+-slim", base), base
        assert not [rest for name, rest in stage if name == "RUN" and COMPILERS.search(rest)]
    assert int(last("USER").split(":")[0]) >= 10000
    names = [name for name, _ in stages()[-1]]
    assert names.index("USER") > max(at for at, name in enumerate(names) if name in ("RUN", "COPY"))
    assert "--only-binary :all:" in next(rest for name, rest in stages()[0] if name == "RUN")
    assert last("STOPSIGNAL") == "SIGTERM"
    assert "/health" in last("HEALTHCHECK")


def test_what_is_copied_is_there_and_no_secret_is() -> None:
    ignored = (ROOT / ".dockerignore").read_text("utf-8").split()
    copied = [rest.split()[:-1] for name, rest in stages()[0] if name == "COPY"]
    for name in (one for names in copied for one in names):
        assert (ROOT / name).exists()
        assert f"!{name.removeprefix('./')}" in ignored
    assert ignored[0] == "*"
    for stage in stages():
        assert not [rest for name, rest in stage if name in ("ENV", "ARG") and re.search("(?i)token|secret|key", rest)]


def words() -> list[str]:
    return [*json.loads(last("ENTRYPOINT")), *json.loads(last("CMD"))]


def test_the_start_command_is_one_that_is_understood_and_safe() -> None:
    program, *rest = words()
    assert program == "xlip"
    _, config = parse(rest)
    assert isinstance(config, ServeConfig)
    assert str(config.port) in last("EXPOSE").split()
    assert config.audit == ""  # a read-only file system: lines of audit go to the container's log
    check_safe(config, Tokens({"me": "a-token-of-some-length"}))
    assert config.tokens.startswith("/run/secrets/")


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return found


def test_the_service_beside_orthanc_is_shut_in() -> None:
    services = compose()["services"]
    assert set(services) == {"serve", "orthanc"}
    serve = services["serve"]
    assert serve["read_only"] is True
    assert serve["user"] == last("USER")
    assert "tmpfs" not in serve
    assert all(volume["read_only"] for volume in serve["volumes"])
    for service in services.values():
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
        assert not service.get("privileged")
    assert not re.search(r":latest|^\w+$", services["orthanc"]["image"])


def test_the_files_of_compose_fit_each_other() -> None:
    found = compose()
    serve, (_, config) = found["services"]["serve"], parse(words()[1:])
    assert (COMPOSE.parent / serve["build"]["context"] / serve["build"]["dockerfile"]).is_file()
    assert config.tokens in [secret["target"] for secret in serve["secrets"]]
    assert config.model in [volume["target"] for volume in serve["volumes"]]
    for service in found["services"].values():
        assert {secret["source"] for secret in service["secrets"]} <= set(found["secrets"])
        assert set(service["networks"]) <= set(found["networks"])
    for line in COMPOSE.read_text("utf-8").splitlines():
        if command := re.match(r"#   xlip (.*)", line):
            parse(command[1].split())


def test_the_start_command_runs_with_nothing_writable(tmp_path: Path, png: bytes) -> None:
    """The command of the image, with paths of this machine and a free port, from a folder that cannot be written."""
    keys = tmp_path / "tokens"
    keys.write_text("me:a-token-of-some-length")
    swap = {"/model": "fake", "8000": "0", "/run/secrets/xlip_tokens": str(keys)}
    arguments = [swap.get(word, word) for word in words()[2:]]
    program = (
        f"import sys; sys.path.insert(0, {str(HERE)!r})\nfrom served_encoder import FakeEncoder\n"
        "import xlip.cli.encoders\n"
        f"xlip.cli.encoders.open_encoder = lambda spec: FakeEncoder()\nfrom xlip.cli import main\n"
        f"sys.exit(main(['serve', *{arguments!r}]))"
    )
    nowhere = {"TMPDIR": "/proc/no-such-folder", "HOME": "/proc/no-such-folder", "PYTHONDONTWRITEBYTECODE": "1"}
    with started([sys.executable, "-c", program], tmp_path / "log", nowhere) as one, one.client() as client:
        assert client.post("/v1/zeroshot", content=png).status_code == 401
        head = {"authorization": "Bearer a-token-of-some-length"}
        assert client.post("/v1/zeroshot", content=png, headers=head).status_code == 200
        client.post("/v1/zeroshot", files={"image": b"\x89PNG\r\n\x1a\n" + bytes(3 << 20)}, headers=head)
        assert client.get("/health").status_code == 200
        one.process.terminate()
        assert one.process.wait(timeout=60) == 143
    assert '"key": "me"' in one.errors.read_text()
