"""How capital is kept: about 1.5 KB of JSON per metric, from which it comes back bit for bit."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from struct import error as StructError  # noqa: N812  # it is an exception like any other
from struct import pack, unpack
from typing import Any

from proctor.delivery.evidence.capital import Account, Breakage, Capital, Kind, Metric, Tally
from proctor.delivery.evidence.mixture import Logs

_FORM = 1


class UnreadableError(ValueError):
    """What was kept is not of this form. It must not be read as "no evidence yet": that would be a second chance."""


def dump(capital: Capital) -> str:
    """The capital as text of one line."""
    kept = {
        "form": _FORM,
        "definition": capital.definition,
        "watermark": capital.watermark,
        "tasks": [capital.candidate_tasks, capital.stable_tasks],
        "peak": capital.peak,
        "accepted": capital.accepted,
        "broken": [capital.broken.assignment, capital.broken.reason] if capital.broken else None,
        "answered": capital.answered,
        "propensity": capital.propensity,
        "digest": capital.digest,
        "metrics": [_account(account) for account in capital.accounts.values()],
    }
    return json.dumps(kept, separators=(",", ":"), allow_nan=False)


def load(text: str) -> Capital:
    """The capital that `dump` wrote. Raises UnreadableError for anything else."""
    try:
        kept = json.loads(text)
        capital = _capital(kept)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, StructError) as problem:
        raise UnreadableError(f"the kept evidence cannot be read: {type(problem).__name__}: {problem}") from problem
    if kept["form"] != _FORM or kept["definition"] != capital.definition:
        raise UnreadableError("the kept evidence is of another form, or of other metrics than it says")
    return capital


def _capital(kept: Any) -> Capital:
    accounts = [_read_account(one) for one in kept["metrics"]]
    broken = kept["broken"]
    return Capital(
        {account.metric.name: account for account in accounts},
        int(kept["watermark"]),
        int(kept["tasks"][0]),
        int(kept["tasks"][1]),
        float(kept["peak"]),
        float(kept["accepted"]),
        Breakage(int(broken[0]), str(broken[1])) if broken else None,
        int(kept["answered"]),
        float(kept["propensity"]),
        str(kept["digest"]),
    )


def _account(account: Account) -> dict[str, Any]:
    metric = account.metric
    lesser = metric.step_margin
    return {
        "metric": [metric.name, metric.margin, str(metric.kind), metric.weight, metric.gate],
        **({"step": [lesser, _packed(account.step)]} if lesser is not None else {}),
        "attribution": _packed(account.attribution),
        "harm": _packed(account.harm),
        "noninferior": _packed(account.noninferior),
        "candidate": [account.candidate.n, account.candidate.bad],
        "stable": [account.stable.n, account.stable.bad],
        "sums": [account.differences, account.squares],
    }


def _read_account(kept: Any) -> Account:
    name, margin, kind, weight, gate = kept["metric"]
    lesser, step = kept.get("step", (None, None))
    of_step = None if lesser is None else float(lesser)
    begin = Account(Metric(str(name), float(margin), Kind(kind), float(weight), bool(gate), of_step))
    return Account(
        begin.metric,
        _unpacked(kept["attribution"], len(begin.attribution)),
        _unpacked(kept["harm"], len(begin.harm)),
        _unpacked(kept["noninferior"], len(begin.noninferior)),
        begin.step if step is None else _unpacked(step, len(begin.step)),
        Tally(int(kept["candidate"][0]), float(kept["candidate"][1])),
        Tally(int(kept["stable"][0]), float(kept["stable"][1])),
        float(kept["sums"][0]),
        float(kept["sums"][1]),
    )


def _packed(logs: Logs) -> str:
    return b64encode(pack(f"<{len(logs)}d", *logs)).decode()


def _unpacked(text: str, count: int) -> Logs:
    return unpack(f"<{count}d", b64decode(text, validate=True))
