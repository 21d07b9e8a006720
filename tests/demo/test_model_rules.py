"""What a rules file may say, and what it is told when it is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from proctor_demo.model.rulebook import InvalidRules, Rulebook
from tests.demo.scripting import scripted

ONE = "rules: [{name: one, then: {text: hello}}]"

WRONG: dict[str, tuple[str, str]] = {
    "no rules": ("{}", "rules: Field required"),
    "an empty list": ("rules: []", "rules: there is none"),
    "no YAML": ("rules: [", "while parsing"),
    "an unknown field of the file": (f"{ONE}\nspeed: 3", "speed: there is no such field"),
    "an unknown condition": (
        "rules: [{name: pay, when: {usr: {contains: x}}, then: {text: y}}]",
        "rule 'pay': when.usr: there is no such field",
    ),
    "an unknown condition deep inside": (
        "rules: [{name: pay, when: {results: [{tool: t, fields: [{at: /a, atleast: 3}]}]}, then: {text: y}}]",
        "rule 'pay': when.results[0].fields[0].atleast: there is no such field",
    ),
    "a bad regex": (
        "rules: [{name: pay, when: {task: {regex: '('}}, then: {text: y}}]",
        "rule 'pay': when.task.regex: not a regular expression",
    ),
    "nothing to say": ("rules: [{name: pay, then: {}}]", "rule 'pay': then: give exactly one of"),
    "two things to say": (
        "rules: [{name: pay, then: {answer: {a: 1}, refusal: never}}]",
        "rule 'pay': then: give exactly one of text or calls, answer, refusal, error, malformedBody; "
        "given: answer, refusal",
    ),
    "a placeholder of nothing": (
        "rules: [{name: pay, then: {text: 'Hello {name}'}}]",
        "rule 'pay': rule: then.text: {name} is no named group of a regex in `when` (there is none)",
    ),
    "a placeholder misspelt": (
        "rules: [{name: pay, when: {task: {regex: '(?P<order>.*)'}}, then: {calls: [{tool: t, arguments: "
        "{id: '{ordr}'}}]}}]",
        "then.calls[0].arguments.id: {ordr} is no named group of a regex in `when` (order)",
    ),
    "two rules of one name": (
        "rules: [{name: one, then: {text: a}}, {name: one, then: {text: b}}]",
        "two rules have the same name: one",
    ),
    "a rule without a name": ("rules: [{then: {text: a}}]", "rule number 1: name: Field required"),
    "a share above one": (
        "rules: [{name: one, probability: {share: 1.5}, then: {text: a}}]",
        "rule 'one': probability",
    ),
    "a status that is no error": ("rules: [{name: one, then: {error: {status: 200}}}]", "then.error.status"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_named(tmp_path: Path, case: str) -> None:
    """A file that cannot be used is refused with the rule and the field at fault."""
    text, words = WRONG[case]
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(InvalidRules) as refusal:
        Rulebook(file)
    assert words in str(refusal.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there is refused with its name."""
    with pytest.raises(InvalidRules, match=r"rules\.yaml"):
        Rulebook(tmp_path / "rules.yaml")


async def test_a_changed_file_is_taken_over(tmp_path: Path) -> None:
    """New rules hold from the next request on, and the counts begin anew."""
    model = scripted(tmp_path, ONE)
    assert await model.says("x") == "hello"
    model.file.write_text(ONE.replace("hello", "goodbye"))
    assert await model.says("x") == "goodbye"
    assert (await model.stats())["requests"] == 1


async def test_a_file_that_became_wrong_changes_nothing(tmp_path: Path) -> None:
    """When the file breaks the former rules stay in force, and /stats says why."""
    model = scripted(tmp_path, ONE)
    model.file.write_text("rules: nonsense")
    assert await model.says("x") == "hello"
    assert "rules.yaml is not valid" in (await model.stats())["rulesError"]
    model.file.write_text(ONE.replace("hello", "healed"))
    assert await model.says("x") == "healed"
    assert (await model.stats())["rulesError"] is None


async def test_a_swapped_link_is_seen(tmp_path: Path) -> None:
    """A file behind a symbolic link that is pointed elsewhere, as a mounted ConfigMap is, counts as changed."""
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.yaml").write_text(ONE.replace("hello", name))
        os.utime(tmp_path / name / "rules.yaml", (1, 1))
    (tmp_path / "data").symlink_to("old")
    model = scripted(tmp_path, ONE)
    model.file.unlink()
    model.file.symlink_to("data/rules.yaml")
    assert await model.says("x") == "old"
    (tmp_path / "next").symlink_to("new")
    (tmp_path / "next").replace(tmp_path / "data")
    assert await model.says("x") == "new"


COMMANDS: dict[str, tuple[list[str], dict[str, str], int, str]] = {
    "valid rules": (["model", "--rules", "FILE", "--check"], {"API_KEY": "k"}, 0, "1 rules, all valid"),
    "no such file": (["model", "--rules", "/none"], {"API_KEY": "k"}, 2, "/none"),
    "no key": (["crm"], {}, 2, "set API_KEY"),
    "a bad day": (["crm", "--today", "soon"], {"API_KEY": "k"}, 2, "neither YYYY-MM-DD nor `now`"),
    "help": (["--help"], {}, 0, "examples:"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_the_command_line_teaches(tmp_path: Path, case: str) -> None:
    """What is asked wrongly ends with 2 and a sentence; `--check` and `--help` end with 0."""
    arguments, environment, status, words = COMMANDS[case]
    file = tmp_path / "rules.yaml"
    file.write_text(textwrap.dedent(ONE))
    command = [sys.executable, "-m", "proctor_demo.main"]
    command += [str(file) if argument == "FILE" else argument for argument in arguments]
    found = subprocess.run(
        command, env={"PATH": os.environ["PATH"]} | environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert found.returncode == status
    assert words in found.stdout + found.stderr
