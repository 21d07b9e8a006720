"""What a campaign has shown, alone and added up over several runs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.gateway.sink import EFFECTS


@dataclass
class Tally:
    """What became of the tasks of one class: how often each effect was done, and how the tasks ended."""

    effects: Counter[int] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    resumed: int = 0

    def add(self, done: int, ended: dict[str, Any]) -> None:
        """One task."""
        reason = (ended.get("error") or {}).get("reason")
        self.effects[done] += 1
        self.phases[f"{ended['phase']} ({reason})" if reason else ended["phase"]] += 1
        self.resumed += ended["attempts"] > 1


@dataclass
class Kills:
    """Kills of one kind. `seconds` has one number for each that hit something: until the last of that went on."""

    count: int = 0
    hit: int = 0
    """Tasks that ran on what was killed."""
    seconds: list[float] = field(default_factory=list)


@dataclass
class Report:
    """What a campaign has shown."""

    form: str
    seed: int
    seconds: float = 0
    kills: dict[str, Kills] = field(default_factory=dict)
    tallies: dict[str, Tally] = field(default_factory=lambda: {tool: Tally() for tool in EFFECTS})
    lasted: list[float] = field(default_factory=list)
    """Seconds from a task's acceptance to its end."""
    untold: int = 0
    """Tasks that claim to have succeeded although their effect was not done exactly once."""
    not_ended: int = 0
    odd: list[str] = field(default_factory=list)
    """What was told of tasks that ended otherwise than well, where something can find out what happened."""
    load: float = 0
    """The machine's load average at the end."""

    @property
    def number(self) -> int:
        """All kills."""
        return sum(each.count for each in self.kills.values())

    @property
    def is_true(self) -> bool:
        """Nothing was done twice, every success is true, what can be found out was found out, every task ended."""
        tallies = self.tallies.items()
        twice = any(times > 1 for _, tally in tallies for times in tally.effects)
        known = all(set(tally.effects) <= {1} for tool, tally in tallies if EFFECTS[tool] != "Once")
        return known and not twice and not self.untold and not self.not_ended

    def take(self, other: Report) -> None:
        """Add another's figures."""
        self.seconds += other.seconds
        self.lasted += other.lasted
        self.untold += other.untold
        self.not_ended += other.not_ended
        self.odd += other.odd
        self.load = max(self.load, other.load)
        for kind, kills in other.kills.items():
            mine = self.kills.setdefault(kind, Kills())
            mine.count += kills.count
            mine.hit += kills.hit
            mine.seconds += kills.seconds
        for tool, tally in other.tallies.items():
            self.tallies[tool].effects += tally.effects
            self.tallies[tool].phases += tally.phases
            self.tallies[tool].resumed += tally.resumed


def keep(report: Report, file: Path) -> None:
    """Append the report to a file of runs."""
    body = {
        **vars(report),
        "kills": {kind: vars(each) for kind, each in report.kills.items()},
        "tallies": {tool: vars(each) for tool, each in report.tallies.items()},
    }
    with file.open("a", encoding="utf-8") as opened:
        opened.write(json.dumps(body) + "\n")


def kept(file: Path) -> list[Report]:
    """The runs that a file has; none if there is no file."""
    if not file.exists():
        return []
    return [_read(json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def _read(body: dict[str, Any]) -> Report:
    tallies = {
        tool: Tally(Counter({int(times): n for times, n in each["effects"].items()}), Counter(each["phases"]))
        for tool, each in body["tallies"].items()
    }
    for tool, tally in tallies.items():
        tally.resumed = body["tallies"][tool]["resumed"]
    kills = {kind: Kills(**each) for kind, each in body["kills"].items()}
    return Report(**{**body, "tallies": tallies, "kills": kills})


def table(reports: Sequence[Report]) -> str:
    """The reports for people, in Markdown: what was killed, and what was done."""
    whole = Report("", 0)
    for each in reports:
        whole.take(each)
    lines = ["| killed | kills | tasks hit | at work again: median | p95 | longest |", "|---|---:|---:|---:|---:|---:|"]
    for form in dict.fromkeys(each.form for each in reports):
        of_form = Report(form, 0)
        for each in reports:
            if each.form == form:
                of_form.take(each)
        lines += [_killed(f"{form}: {kind}", of_form.kills[kind]) for kind in sorted(of_form.kills)]
    every = Kills()
    for kills in whole.kills.values():
        every = Kills(every.count + kills.count, every.hit + kills.hit, every.seconds + kills.seconds)
    lines += [_killed("**all**", every), ""]
    lines += ["| effect | tasks | dispatched again | done 0 times | once | more than once | ended as |"]
    lines += ["|---|---:|---:|---:|---:|---:|---|"]
    lines += [_done(tool, tally) for tool, tally in whole.tallies.items()]
    median, most, longest = _figures(whole.lasted)
    lines += [
        "",
        f"{len(reports)} runs, {whole.seconds:.0f} s, seeds {', '.join(str(each.seed) for each in reports)}; "
        f"a task took {median} s (median), {most} s (p95), {longest} s (longest); load average up to {whole.load:.0f}",
        f"tasks that claim success although their effect was not done once: {whole.untold}; that never ended: "
        f"{whole.not_ended}",
        *(f"- {each}" for each in whole.odd[:20]),
    ]
    return "\n".join(lines)


def _killed(what: str, kills: Kills) -> str:
    median, most, longest = _figures(kills.seconds)
    return f"| {what} | {kills.count} | {kills.hit} | {median} | {most} | {longest} |"


def _done(tool: str, tally: Tally) -> str:
    often = sum(n for times, n in tally.effects.items() if times > 1)
    phases = ", ".join(f"{phase} {count}" for phase, count in tally.phases.most_common())
    counts = f"{tally.effects.total()} | {tally.resumed} | {tally.effects[0]} | {tally.effects[1]} | {often}"
    return f"| `{EFFECTS[tool]}` | {counts} | {phases} |"


def _figures(seconds: Sequence[float]) -> tuple[str, str, str]:
    if not seconds:
        return "", "", ""
    times = sorted(seconds)
    return tuple(f"{times[min(int(share * len(times)), len(times) - 1)]:.1f}" for share in (0.5, 0.95, 1))  # type: ignore[return-value]
