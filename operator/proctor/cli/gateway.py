"""The gateway's listener for callers, as one identity, for one agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx2
from pydantic import ValidationError

from proctor.cli.errors import Away, CliError, Denied, NotFound
from proctor.cli.refusals import cause
from proctor.cli.resources import segment
from proctor.cli.tasks import Call, Task

_MARGIN_SECONDS = 10.0
_PAGE = 100
_WHERE = "kubectl get pods -n proctor-system"
_T = TypeVar("_T")


class Busy(CliError):  # noqa: N818 - a state of the gateway
    """The gateway, or the agent behind it, cannot take the task now; it says when to ask again."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message, f"try again in {retry_after:g} s")
        self.retry_after = retry_after


class Interrupted(Away):
    """The gateway was reached, and went away before it answered: what was asked may have been done."""


@dataclass(frozen=True)
class Order:
    """A task to be sent. With the same key it may be sent again without becoming another task."""

    input: Any
    key: str
    conversation: str | None = None
    revision: str | None = None
    """`stable`, `candidate` or a hash, for those of spec.access.testers; None lets the gateway draw."""


class Gateway:
    """One agent behind a gateway. Raises only CliErrors."""

    def __init__(self, client: httpx2.Client, namespace: str, name: str) -> None:
        self._client = client
        self._agent = f"{namespace}/{name}"
        self._path = f"/agents/{segment(namespace)}/{segment(name)}/tasks"

    def submit(self, order: Order) -> Task:
        """Send the task, or find the one that was sent before with this key."""
        body = {"input": order.input} | ({"conversation": order.conversation} if order.conversation else {})
        chosen = {"X-Proctor-Revision": order.revision} if order.revision else {}
        return self._task("POST", "", json=body, headers={"Idempotency-Key": order.key, **chosen})

    def task(self, task: str, wait: float = 0) -> Task:
        """The task as it is now; with `wait`, as it is when it has ended or that many seconds have passed."""
        return self._task("GET", f"/{segment(task)}", params={"wait": f"{wait:g}"}, wait=wait)

    def cancel(self, task: str) -> Task:
        """Ask for the task's end; one that has ended stays as it is."""
        return self._task("POST", f"/{segment(task)}/cancel")

    def unresolved(self) -> tuple[tuple[Task, tuple[Call, ...]], ...]:
        """The agent's tasks of which an effect is unknown, whoever sent them, and those effects."""
        answer = self._ask("GET", "", base=self._path.removesuffix("/tasks") + "/unresolved")
        return tuple(
            (_parsed(Task.model_validate, each), tuple(_parsed(Call.model_validate, call) for call in each["unknown"]))
            for each in answer["items"]
        )

    def resolve(self, task: str, call: str, action: str, result: Any = None) -> Task:
        """Say what became of a call of which nobody knows."""
        body = {"call": call, "action": action} | ({} if result is None else {"result": result})
        return self._task("POST", f"/{segment(task)}/resolve", json=body)

    def calls(self, task: str) -> tuple[Call, ...]:
        """What the task has asked of models and tools, in order."""
        answer = self._ask("GET", f"/{segment(task)}/calls")
        return tuple(_parsed(Call.model_validate, each) for each in answer["items"])

    def tasks(self, most: int, phase: str | None = None) -> Iterator[Task]:
        """The newest tasks of this identity at this agent."""
        after: str | None = None
        while most > 0:
            asked = {"limit": str(min(most, _PAGE)), "phase": phase, "after": after}
            answer = self._ask("GET", "", params={key: value for key, value in asked.items() if value})
            yield from (_parsed(Task.model_validate, each) for each in answer["items"])
            most -= len(answer["items"])
            after = answer.get("next")
            if not after:
                return

    def _task(self, method: str, path: str, **options: Any) -> Task:
        return _parsed(Task.model_validate, self._ask(method, path, **options))

    def _ask(self, method: str, path: str, *, wait: float = 0, base: str | None = None, **options: Any) -> Any:
        with _reached(str(self._client.base_url)):
            timeout = httpx2.Timeout(_MARGIN_SECONDS, read=wait + 30.0)
            response = self._client.request(method, f"{base or self._path}{path}", timeout=timeout, **options)
        if response.is_error:
            raise _problem(response, self._agent)
        try:
            return response.json()
        except ValueError as exc:
            raise _no_gateway(response) from exc


def _parsed(parse: Callable[[Any], _T], value: Any) -> _T:
    try:
        return parse(value)
    except ValidationError as exc:
        raise CliError(
            f"the gateway's answer cannot be read: {exc.errors(include_input=False)[0]['msg']}",
            "use the kubectl-proctor of the installed version",
        ) from exc


@contextmanager
def _reached(url: str) -> Iterator[None]:
    try:
        yield
    except (httpx2.ConnectError, httpx2.ConnectTimeout) as exc:
        raise Away(f"the gateway at {url} cannot be reached: {cause(exc)}", _WHERE) from exc
    except httpx2.TimeoutException as exc:
        raise Interrupted(f"the gateway at {url} did not answer in time", _WHERE) from exc
    except httpx2.HTTPError as exc:
        raise Interrupted(f"the gateway at {url} went away: {cause(exc)}", _WHERE) from exc


def _no_gateway(response: httpx2.Response) -> CliError:
    return CliError(f"{response.url.host} answered {response.status_code} without a problem: is it proctor's gateway?")


def _problem(response: httpx2.Response, agent: str) -> CliError:
    """What the gateway's refusal means to a person."""
    try:
        problem: Mapping[str, Any] = response.json()
        reason = str(problem.get("reason") or problem["type"]).rsplit("/", 1)[-1]
        detail = str(problem.get("detail", ""))
    except (ValueError, KeyError, AttributeError):
        return _no_gateway(response)
    said = f"Agent {agent}: {reason}: {detail}"
    match response.status_code:
        case 401 | 403:
            return Denied(said)
        case 404:
            return NotFound(said)
        case 429 | 503:
            return Busy(said, _retry_after(response))
        case _:
            return CliError(said)


def _retry_after(response: httpx2.Response) -> float:
    try:
        return max(0.0, float(response.headers.get("retry-after", "2")))
    except ValueError:
        return 2.0
