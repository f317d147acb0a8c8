"""What `seatrial-service` can do is what docs/reference/seatrial-service.md says: not more, and not less."""

import argparse
import asyncio
import functools
import importlib
import json
import re
import sys
import tomllib
from base64 import b64encode
from pathlib import Path

import httpx
import msgspec
import pytest

from reference_service import __main__ as entry
from reference_service import settings as configuration
from reference_service.audit.decision_log import DecisionLog
from reference_service.audit.files import PAYLOADS, RECORDS, FileSink
from reference_service.audit.records import Decision, Payload, packed
from reference_service.clock import SystemClock
from reference_service.commands import COMMANDS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/reference/seatrial-service.md").read_text(encoding="utf-8")
SOURCES = [path.read_text(encoding="utf-8") for path in (ROOT / "reference_service").rglob("*.py")]


class Seen(Exception):  # noqa: N818 - no error: how a command's parser is got hold of
    pass


def parsers(name, monkeypatch):
    """(name as the page has it, parser) of a command and of its actions."""

    def seen(self, *_):
        raise Seen(self)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", seen)
    with pytest.raises(Seen) as caught:
        importlib.import_module(f"reference_service.commands.{name}").main([])
    (parser,) = caught.value.args
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            yield from ((f"{name} {which}", each) for which, each in action.choices.items())


def spelled(action):
    """(argument, default) as the page has them."""
    shown = action.metavar or action.dest.upper()
    if action.nargs in {"+", "?"}:
        shown += {"+": " …", "?": " (optional)"}[action.nargs]
    if action.option_strings:
        shown = " ".join([action.option_strings[-1], *([shown] if action.nargs != 0 else [])])
    default = "" if action.default in (None, argparse.SUPPRESS) or action.default is False else action.default
    return shown, "" if action.dest == "name" else str(default)  # a consumer's name has the machine's in it


def rows(title):
    """(first, second) cells of the table under a title."""
    section = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert section, f"the page has no section {title!r}"
    lines = re.findall(r"^\| `.*$", section[1], flags=re.MULTILINE)
    return [tuple(cell.strip().strip("`") for cell in line.split("|")[1:3]) for line in lines]


@pytest.mark.parametrize("name", ["serve", *COMMANDS])
def test_the_page_has_every_argument_of_a_command_and_no_other(name, monkeypatch):
    for title, parser in parsers(name, monkeypatch):
        taken = [
            spelled(action)
            for action in parser._actions
            if action.help != argparse.SUPPRESS and action.dest not in {"help", "action"}
        ]
        assert sorted(taken) == sorted(rows(title) if taken else [])
        assert all(action.help for action in parser._actions if action.dest != "action"), f"{title} --help is silent"


def test_every_module_of_a_command_is_named_and_every_name_is_a_module():
    modules = {path.stem for path in (ROOT / "reference_service/commands").glob("*.py")}
    assert modules == {*COMMANDS, "serve", "starting", "__init__"}
    listed = re.findall(r"^## (\w+)$", PAGE, flags=re.MULTILINE)
    assert [each for each in listed if each.islower()] == ["serve", *COMMANDS]


def test_the_page_has_every_setting_with_its_default():
    for title, struct in (("Settings", configuration.Settings), ("Safeguards", configuration.Safeguards)):
        fields = msgspec.structs.fields(struct)
        plain = [(f.name, "" if isinstance(f.default, msgspec.Struct) else msgspec.json.encode(f.default).decode())
                 if f.default is not msgspec.NODEFAULT else (f.name, "{}") for f in fields]  # fmt: skip
        assert rows(title) == [(name, "" if default in {"null", '""'} else default) for name, default in plain]


def test_the_page_has_every_variable_of_the_environment():
    read = {name for source in SOURCES for name in re.findall(r"\b(?:SEATRIAL_[A-Z]+|NUMBA_CACHE_DIR)\b", source)}
    assert {name for name, _ in rows("Environment")} == read | {"NAME", "OTEL_…"}


def test_the_page_has_every_extra():
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert {name for name, _ in rows("Extras")} == set(entry._EXTRAS.values())
    for library, extra in entry._EXTRAS.items():
        wanted = known.get(extra.removeprefix("seatrial[").removesuffix("]"), ["mlflow"])
        package = {"google": "protobuf", "grpc": "grpcio", "opentelemetry": "opentelemetry-sdk"}.get(library, library)
        assert any(re.match(rf"{package}\b", each) for each in wanted)


def test_who_lacks_an_extra_is_told_which(monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith("reference_service.commands.consume")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "reference_service.events.consumer", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    assert entry.main(["consume", "settings.json", "--from", "redis://nowhere"]) == 2
    assert capsys.readouterr().err == "redis is not installed: pip install 'seatrial[events]'\n"


# ---------------------------------------------------------------- exit codes


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with settings that lead nowhere, and with a log of one decision whose payload was exchanged."""
    monkeypatch.chdir(tmp_path)
    Path("settings.json").write_text(json.dumps({"bundles": "nowhere", "decision_log": "log"}))

    async def decide():
        sink = FileSink(Path("log"))
        log = DecisionLog(SystemClock(), rows=1, wait_ns=0, ring=1, sink=sink)
        log.append(Decision(0, 0, "r", 0, 1, "v1", 0.5, "approve", "model", ""), Payload(0, packed([1.0])), None)
        assert await log.committed()
        await log.close()

    asyncio.run(decide())
    payloads = Path("log", PAYLOADS)
    payloads.write_bytes(payloads.read_bytes().replace(*(b64encode(packed([one])) for one in (1.0, 2.0))))
    assert Path("log", RECORDS).stat().st_size


CODES = [
    ("serve", 1, ["settings.json", "--port", "0"]),
    ("serve", 2, ["nothing.json"]),
    ("audit", 1, ["audit", "log"]),
    ("audit", 2, ["audit", "nowhere"]),
    ("consume", 1, ["consume", "settings.json", "--from", "redis://127.0.0.1:1/0"]),
    ("consume", 2, ["consume", "nothing.json", "--from", "redis://127.0.0.1:1/0"]),
    ("features", 1, ["features", "--to", "redis://127.0.0.1:1/0", "--check"]),
    ("mock", 2, ["mock", "nowhere"]),
    ("ops", 2, ["ops", "nothing.yaml"]),
    ("registry", 1, ["registry", "registry", "add", "nowhere"]),
    ("reproduce", 1, ["reproduce", "settings.json", "r"]),
    ("reproduce", 2, ["reproduce", "settings.json", "another"]),
    ("retrain", 1, ["retrain", "nowhere", "nothing.parquet", "v2", "--gate", "true"]),
]


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize(("name", "code", "arguments"), CODES, ids=[f"{name}-{code}" for name, code, _ in CODES])
def test_a_command_ends_with_the_code_that_the_page_says(name, code, arguments, capfd):
    assert (name, str(code)) in rows("Exit codes")
    try:
        ended = entry.main(arguments)
    except SystemExit as end:
        ended = end.code
    told = "".join(capfd.readouterr())
    if isinstance(ended, str):  # Python prints it, and the code is 1
        ended, told = 1, ended
    assert ended == code
    assert told.strip()
    assert "Traceback" not in told


@pytest.mark.parametrize("status", [401, 503])
def test_a_service_that_does_not_tell_its_alerts_is_no_service_without_any(monkeypatch, capfd, status):
    says = httpx.MockTransport(lambda _: httpx.Response(status, json={"detail": "not for you"}))
    monkeypatch.setattr(httpx, "AsyncClient", functools.partial(httpx.AsyncClient, transport=says))
    asked = ["retrain", "nowhere", "d", "v2", "--gate", "true", "--alerts", "--url", "http://service"]
    assert entry.main(asked) == 1
    assert capfd.readouterr().err == "refused: evidence: not for you\n"


def test_no_other_exit_code_is_promised():
    assert set(rows("Exit codes")) == {(name, str(code)) for name, code, _ in CODES}
