"""What Prometheus reads. Names follow OpenTelemetry's conventions for generative AI (0.1.0) where they fit.

Labels are taken from what is declared (agents, connectors, models), never from what an agent or a caller makes up,
so that nobody can make the number of series grow without bound.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from proctor.policy.finding import Finding
from proctor_gateway.rules.calls import CallState, Intent, Kind, Outcome
from proctor_gateway.rules.reasons import Reason
from proctor_gateway.rules.spending import Exceeded
from proctor_gateway.rules.tasks import Ended, Fault, Purpose, Task
from proctor_gateway.tokens import Claims

_OPERATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(float(4**power) for power in range(14))
_AGENT = ("namespace", "agent")

Series = TypeVar("Series", Counter, Histogram)


class Metrics:
    """All series of one process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._series: dict[tuple[Any, tuple[str, ...]], Any] = {}
        self.on_end: Callable[[str], None] = lambda _task: None
        """Told the id of each task that ended."""
        self.tasks_accepted = Counter("proctor_tasks_accepted", "Tasks taken in.", _AGENT, registry=self.registry)
        self.tasks_refused = Counter(
            "proctor_tasks_refused", "Tasks not taken in.", (*_AGENT, "reason"), registry=self.registry
        )
        self.copies_dropped = Counter(
            "proctor_copies_dropped",
            "Live tasks that were to be copied to a candidate, and were not, because too many copies were under way.",
            _AGENT,
            registry=self.registry,
        )
        self.tasks_begun = Counter(
            "proctor_tasks_begun",
            "Tasks that were given to a revision. The arm is empty where none was drawn.",
            (*_AGENT, "revision", "arm", "purpose"),
            registry=self.registry,
        )
        self.tasks_ended = Counter(
            "proctor_tasks_ended", "Tasks that ended.", (*_AGENT, "revision", "phase", "reason"), registry=self.registry
        )
        self.task_seconds = Histogram(
            "proctor_task_duration_seconds",
            "From acceptance to end.",
            (*_AGENT, "phase"),
            buckets=_OPERATION,
            registry=self.registry,
        )
        self.tasks_taken_over = Counter(
            "proctor_tasks_taken_over", "Tasks of an instance that went away.", registry=self.registry
        )
        self.attempts = Counter(
            "proctor_attempts", "Dispatches to a pod, by how they ended.", (*_AGENT, "end"), registry=self.registry
        )
        self.attempts_running = Gauge(
            "proctor_attempts_running", "Tasks that pods work on for this instance.", registry=self.registry
        )
        self.calls = Counter(
            "proctor_calls",
            "Calls of agents.",
            (*_AGENT, "connector", "kind", "state", "reason"),
            registry=self.registry,
        )
        self.policy_findings = Counter(
            "proctor_policy_findings",
            "What policies found in calls. Under Enforce the call was not made, or people were asked before.",
            (*_AGENT, "policy", "rule", "mode"),
            registry=self.registry,
        )
        self.fallbacks = Counter(
            "proctor_fallbacks",
            "Tasks that a fallback served: another model or agent, people, a fixed reply.",
            (*_AGENT, "leg", "cause"),
            registry=self.registry,
        )
        self.calls_replayed = Counter(
            "proctor_calls_replayed",
            "Calls of attempts that were begun again, answered from the journal.",
            (*_AGENT, "kind"),
            registry=self.registry,
        )
        self.operation_seconds = Histogram(
            "gen_ai_client_operation_duration_seconds",
            "Duration of calls to models.",
            ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "error_type"),
            buckets=_OPERATION,
            registry=self.registry,
        )
        self.token_usage = Histogram(
            "gen_ai_client_token_usage",
            "Tokens of calls to models.",
            ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model", "gen_ai_token_type"),
            buckets=_TOKENS,
            registry=self.registry,
        )
        self.tool_seconds = Histogram(
            "gen_ai_execute_tool_duration_seconds",
            "Duration of calls to tools.",
            ("connector", "error_type"),
            buckets=_OPERATION,
            registry=self.registry,
        )
        self.cost = Counter(
            "proctor_cost", "Cost of model calls in the installation's currency.", _AGENT, registry=self.registry
        )
        self.budgets_exceeded = Counter(
            "proctor_budget_refusals",
            "Calls and tasks that a limit refused.",
            (*_AGENT, "limit", "action"),
            registry=self.registry,
        )
        self.budget = Gauge(
            "proctor_budget",
            "Of a budget's cost, tokens or tasks: what is spent, reserved, and the limit.",
            ("namespace", "subject", "scope", "per", "budget", "unit", "share"),
            registry=self.registry,
        )
        self.cluster_up = Gauge(
            "proctor_gateway_cluster_up", "Whether the API server answers.", ("kind",), registry=self.registry
        )
        self.record_size = Gauge(
            "proctor_record_size", "Records in the log that this instance writes.", registry=self.registry
        )
        self.record_dropped = Gauge(
            "proctor_record_dropped",
            "Records that could not be written and are not yet counted.",
            registry=self.registry,
        )
        self.record_faults = Counter(
            "proctor_record_faults", "Logs that could not be gone on with, and why is in them.", registry=self.registry
        )
        self.probes = Counter("proctor_connector_probes", "Probes of connectors.", ("reason",), registry=self.registry)

    def begun(self, task: Task) -> None:
        """A task began on its revision."""
        request = task.request
        revision, arm = task.state.revision, task.arm or ""
        self.tasks_begun.labels(request.namespace, request.agent, revision, arm, request.purpose).inc()

    def exceeded(self, namespace: str, agent: str, exceeded: Exceeded) -> None:
        """A limit refused a call or a task."""
        allowance = exceeded.purse.allowance
        self.budgets_exceeded.labels(namespace, agent, allowance.name, allowance.action).inc()

    def ended(self, task: Task, state: Ended) -> None:
        """A task ended. Only live ones are counted: the others were served to nobody."""
        request = task.request
        if request.purpose is not Purpose.LIVE:
            return
        self.on_end(request.id)
        reason = state.fault.reason if state.fault else ""
        self.tasks_ended.labels(request.namespace, request.agent, state.revision, state.phase, reason).inc()
        seconds = (state.finished_at - request.created_at).total_seconds()
        self.task_seconds.labels(request.namespace, request.agent, state.phase).observe(seconds)

    def policy(self, claims: Claims, finding: Finding) -> None:
        """A policy found something in a call. Excepted is its own mode: somebody allowed it for a time."""
        mode = finding.mode if finding.is_violation else "Excepted"
        self.policy_findings.labels(claims.namespace, claims.agent, finding.policy, finding.rule, mode).inc()

    def hopped(self, task: Task, cause: Reason) -> None:
        """A fallback goes on with the task, or has answered it."""
        kind = task.leg.name.partition("/")[0] if task.leg else ""
        self.fallbacks.labels(task.request.namespace, task.request.agent, kind, cause).inc()

    def denied(self, claims: Claims, intent: Intent, fault: Fault) -> None:
        """A call was denied. Its connector is not a label: a denied one may not even exist."""
        self.calls.labels(claims.namespace, claims.agent, "", intent.kind, CallState.DENIED, fault.reason).inc()

    def settled(self, claims: Claims, intent: Intent, outcome: Outcome, seconds: float) -> None:
        """The outcome of a call is known."""
        reason: Reason | str = outcome.fault.reason if outcome.fault else ""
        self._of(self.calls, claims.namespace, claims.agent, intent.connector, intent.kind, outcome.state, reason).inc()
        if intent.kind is Kind.TOOL:
            self._of(self.tool_seconds, intent.connector, reason).observe(seconds)
            return
        labels = ("chat", intent.connector, intent.name)
        self._of(self.operation_seconds, *labels, reason).observe(seconds)
        for token_type, tokens in (("input", outcome.input_tokens), ("output", outcome.output_tokens)):
            if tokens is not None:
                self._of(self.token_usage, *labels, token_type).observe(tokens)
        self._of(self.cost, claims.namespace, claims.agent).inc(float(outcome.cost or Decimal(0)))

    def _of(self, metric: Series, *labels: str) -> Series:
        """The series with these labels. The library checks and locks each time what is the same in every call."""
        known = self._series.get((metric, labels))
        if known is None:
            known = self._series[metric, labels] = metric.labels(*labels)
        found: Series = known
        return found
