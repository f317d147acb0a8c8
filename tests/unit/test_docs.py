"""The examples of README.md and docs/ are executed, and what they show is what comes out.

- A ``yaml`` block is loaded as what it is; one whose first line is ``# some/path.yaml`` is a file of that name.
- A ``console`` block is a command with its output. ``seatrial check``, ``explain``, ``schema`` and ``--help`` run
  always; ``run`` runs with ``-m slow``, except where the service is an example's own and the run takes seconds.
- A ``python`` block runs; one whose first line is ``# name.py`` is a file. One whose first line is ``# needs: prefect``
  runs with ``-m slow`` in the environment of that name, if it has been made.
- A relative link leads to a file.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from ruamel.yaml import YAML

from reference_service.monitor import rules
from simulator.report import text
from simulator.report.json_ import from_json
from simulator.scenario import disturbances, families, verbs
from simulator.scenario import model as language
from simulator.scenario.frozen import Frozen
from simulator.scenario.load import load, load_model
from simulator.scenario.model import FAMILIES
from simulator.scenario.verbs import VERBS
from simulator.scenario.window_keys import WINDOW_KEYS
from simulator.targets import load as targets
from simulator.targets import model as target_model
from simulator.verdict import EXIT_CERTIFIED, EXIT_HARNESS_FAULT, EXIT_REFUSED, EXIT_UNKNOWN, Status
from simulator.world.recording import Recording

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests/servers"))
from place import python as python_of  # noqa: E402 - beside what it makes

PAGES = [ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CHANGELOG.md", "reports/README.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
ALWAYS = ("check", "explain", "schema", "--help")
QUICK = {"docs/how-to/bring-your-own-service.md"}  # its service answers in microseconds


class Block(NamedTuple):
    """One fenced block."""

    kind: str
    body: str
    line: int


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, *kinds: str) -> list[Block]:
    source = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```(\w+)\n(.*?)^```$", source, flags=re.MULTILINE | re.DOTALL)
    cut = [Block(match[1], match[2], source.count("\n", 0, match.start()) + 2) for match in found]
    return [block for block in cut if block.kind in kinds]


def each(*kinds: str) -> list:
    return [
        pytest.param(
            page, block, id=f"{name(page)}:{block.line}", marks=[pytest.mark.slow] if is_slow(page, block) else []
        )
        for page in PAGES
        for block in blocks(page, *kinds)
    ]


def is_slow(page: Path, block: Block) -> bool:
    """It holds trials of the reference service, or starts another system."""
    if block.body.startswith("# needs: "):
        return True
    words = block.body.partition("\n")[0].split()
    return block.kind == "console" and name(page) not in QUICK and not any(word in words for word in ALWAYS)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder in which the commands of a page run: the shipped scenarios, and the files that the page writes."""

    def lay(page: Path) -> Path:
        (tmp_path / "scenarios").mkdir()
        for path in (ROOT / "scenarios").iterdir():
            (tmp_path / "scenarios" / path.name).symlink_to(path)
        (tmp_path / "simulator").symlink_to(ROOT / "simulator")
        for block in blocks(page, "yaml", "python"):
            if first := re.match(r"# ([\w./-]+\.(?:yaml|py))\n", block.body):
                path = tmp_path / first[1]
                if path.parent == tmp_path / "scenarios" / "targets" and path.parent.is_symlink():
                    continue  # loaded by its own test; the shipped folder is not written to
                path.parent.mkdir(parents=True, exist_ok=True)
                path.unlink(missing_ok=True)  # never through a link into the shipped folder
                path.write_text(block.body, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        return tmp_path

    return lay


def console(command: str, folder: Path) -> str:
    environment = os.environ | {"COLUMNS": "80", "PYTHONPATH": str(folder), "NO_COLOR": "1"}
    arguments = [sys.executable, "-m", "simulator.cli", *command.split()[1:]]
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    return done.stdout + done.stderr


def settled(output: str) -> str:
    """Without what is another one whenever the service's source changes: ids of runs; and without trailing space."""
    masked = re.sub(r"\b(run|replay) [0-9a-f]{12}\b", r"\1 …", output)
    return "\n".join(line.rstrip() for line in masked.strip().splitlines() if not line.startswith("report: "))


@pytest.mark.parametrize(("page", "block"), each("console"))
def test_a_command_says_what_the_page_shows(page, block, desk, request):
    command, _, shown = block.body.partition("\n")
    assert command.startswith("$ seatrial "), f"{name(page)}:{block.line} is no seatrial command"
    command = command.removeprefix("$ ")
    if is_slow(page, block) and "slow" not in request.config.option.markexpr:
        pytest.skip("holds trials: -m slow")
    assert settled(console(command, desk(page))) == settled(shown)


@pytest.mark.parametrize(("_page", "block"), each("yaml"))
def test_a_yaml_block_is_what_it_claims_to_be(_page, block, tmp_path):
    path = tmp_path / f"block{'.scenario' if 'seatrial: 1' in block.body else ''}.yaml"
    path.write_text(block.body, encoding="utf-8")
    if re.search(r"^seatrial: 1$", block.body, flags=re.MULTILINE):
        assert load(path)
    elif re.search(r"^target: 1$", block.body, flags=re.MULTILINE):
        assert targets.load(path).target == 1
    elif re.search(r"^population: 1$", block.body, flags=re.MULTILINE):
        assert load_model(path, Recording).population == 1
    else:
        assert YAML(typ="safe").load(block.body)


@pytest.mark.parametrize(("page", "block"), each("python"))
def test_a_python_block_runs(page, block, desk, request):
    folder = desk(page)
    path = folder / "block.py"
    path.write_text(block.body, encoding="utf-8")
    interpreter, strict, limit = Path(sys.executable), ["-W", "error"], 60
    if needs := re.match(r"# needs: (\w+)\n", block.body):
        if "slow" not in request.config.option.markexpr:
            pytest.skip("starts another system: -m slow")
        interpreter, strict, limit = python_of(needs[1]), [], 300  # how the other system is written is not our affair
        if not interpreter.exists():
            pytest.skip(f"{needs[1]} is not installed: `python tests/servers/place.py {needs[1]}` installs it")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    done = subprocess.run(
        [str(interpreter), *strict, str(path)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=limit, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{name(page)}:{block.line}\n{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_somewhere(page):
    source = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)#]+)", source):
        assert link.startswith("http") or (page.parent / link).exists(), f"{name(page)} → {link}"


def test_the_readme_shows_the_sample():
    table = text.render(from_json((ROOT / "reports/sample/verdict.json").read_bytes()))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"<!-- table of reports/sample/verdict.json -->\n```text\n(.*?)```", readme, flags=re.DOTALL)
    assert shown
    assert settled(shown[1]) == settled(table)


# ---------------------------------------------------------------- nothing of the language goes undocumented


def keys_of(*models: type) -> set[str]:
    return {field.alias or key for model in models for key, field in model.model_fields.items()}


PARTS = [
    part
    for part in {**vars(language), **vars(families), **vars(verbs), **vars(disturbances)}.values()
    if isinstance(part, type) and issubclass(part, Frozen) and part is not disturbances.LoadLevel  # spelled as one word
]


def test_the_language_reference_names_every_key():
    page = (ROOT / "docs/reference/scenario-language.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    assert (keys_of(*PARTS) | {*VERBS, *FAMILIES, *WINDOW_KEYS}) - named == set()


def test_the_language_reference_has_one_row_to_a_verb_and_a_family():
    page = (ROOT / "docs/reference/scenario-language.md").read_text(encoding="utf-8")
    when, then = page.split("\n## when\n")[1].split("\n## then\n")
    for names, part in ((VERBS, when), (FAMILIES, then)):
        rows = re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE)
        assert [name for name in names if rows.count(name) != 1] == []


def test_the_target_reference_names_every_key():
    page = (ROOT / "docs/reference/target-file.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`\n]+)`", page))))
    parts = (
        target_model.Target, target_model.Tensors, target_model.Start, target_model.Read, target_model.Errors,
        target_model.Alerts, target_model.Heartbeat, target_model.LabelIntake, target_model.Admin,
        target_model.ServiceTime,
    )  # fmt: skip
    assert keys_of(*parts) - named == set()


def test_the_page_of_alerts_has_a_row_for_every_alert():
    page = (ROOT / "docs/reference/alerts-of-the-reference-service.md").read_text(encoding="utf-8")
    rows = set(re.findall(r"^\| `(\w+)` \|", page, flags=re.MULTILINE))
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "reference_service/monitor").glob("*.py")]
    raised = {name for source in sources for name in re.findall(r'(?:Condition|_one|_family)\(\s*"(\w+)"', source)}
    assert raised
    assert raised <= rules.NAMES  # what a rules file may name
    assert rows == rules.NAMES | {"Watchdog"}


@pytest.mark.parametrize("page", ["README.md", "docs/reference/exit-codes.md"])
def test_exit_codes_are_those_of_the_verdict(page):
    source = (ROOT / page).read_text(encoding="utf-8")
    rows = {int(code): word.lower() for code, word in re.findall(r"^\| (\d) \| ([\w ]*?) *\|", source, re.MULTILINE)}
    assert set(rows) == {0, 1, 2, 3, 4}
    said = {EXIT_CERTIFIED: "certified", EXIT_REFUSED: "refused", EXIT_UNKNOWN: "inconclusive"}
    assert {code: rows[code] for code in said} == said
    assert EXIT_HARNESS_FAULT in rows
    assert len(Status) == 3
