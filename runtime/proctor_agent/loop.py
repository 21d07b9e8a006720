"""The model/tool loop of one task. Importing this module is what makes the agent slow to start."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import httpx2
from pydantic_ai import Agent, ModelRetry, StructuredDict, ToolOutput
from pydantic_ai.usage import UsageLimits

from proctor_agent.answers import OUTPUT_TOOL, AnswerForm
from proctor_agent.chat_model import make_model
from proctor_agent.config import AgentConfig
from proctor_agent.connector_client import ConnectorClient, ToolDescription
from proctor_agent.failures import TaskFailure
from proctor_agent.model_failures import explain
from proctor_agent.tasks import Assignment, utc_now
from proctor_agent.toolset import GatewayTools, name_for_model

RETRIES = 3
"""So often the model may correct malformed arguments of a tool, or an answer of the wrong form."""
_CONNECT_SECONDS = 5
_CONNECT_RETRIES = 2


@dataclass(frozen=True)
class Result:
    """An answer and what it took."""

    output: Any
    steps: int
    tool_calls: int
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True)
class Loop:
    """Carries out tasks of one declared agent; nothing is kept from one task to the next."""

    config: AgentConfig
    gateway_url: str
    model_url: str

    @cached_property
    def form(self) -> AnswerForm | None:
        """The form of the answer, or None for plain text."""
        return None if self.config.output is None else AnswerForm(self.config.output.json_schema)

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """Which certificates are believed: the system's; none at all where the gateway is reached without TLS.

        Made once: reading the system's certificates takes longer than all the rest of a short task.
        """
        encrypted = any(url.startswith("https:") for url in (self.gateway_url, self.model_url))
        return ssl.create_default_context() if encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

    async def run(self, assignment: Assignment) -> Result:
        """Carry out a task.

        Raises:
            TaskFailure: it ended without an answer.
        """
        seconds = min(assignment.task.seconds_left(utc_now()), self.config.limits.timeout_seconds)
        try:
            async with asyncio.timeout(seconds):
                return await self._run(assignment)
        except TimeoutError as exc:
            raise TaskFailure("Timeout", "the task's time was up") from exc
        except Exception as exc:
            raise explain(exc) from exc

    async def _run(self, assignment: Assignment) -> Result:
        async with _http_client(assignment, self.trust) as http:
            model = make_model(
                self.config.model.name, self.config.model.parameters, self.model_url, assignment.token, http
            )
            agent = self._agent
            tools = GatewayTools(await self._tools(http), RETRIES)
            limits = self.config.limits
            run = await agent.run(
                assignment.task.prompt,
                model=model,
                toolsets=[tools],
                usage_limits=UsageLimits(request_limit=limits.max_steps, total_tokens_limit=limits.max_tokens),
            )
        output = run.output if self.form is None else self.form.read(run.output)
        usage = run.usage
        return Result(output, usage.requests, usage.tool_calls, usage.input_tokens, usage.output_tokens)

    @cached_property
    def _agent(self) -> Agent[None, Any]:
        form = self.form
        if form is None:
            return Agent(instructions=self.config.instructions, retries=RETRIES)
        # The answer is asked for as a call of a tool. `response_format` would be the other way, but many endpoints
        # that speak this API know no json_schema, or not together with tools, which an agent needs anyway.
        answer = ToolOutput(
            StructuredDict(form.asked_for), name=OUTPUT_TOOL, description="Give the final answer.", strict=False
        )
        agent: Agent[None, Any] = Agent(instructions=self.config.instructions, output_type=answer, retries=RETRIES)

        @agent.output_validator
        def of_the_declared_form(given: dict[str, Any]) -> dict[str, Any]:
            if (complaint := form.complaint(given)) is not None:
                raise ModelRetry(complaint)
            return given

        return agent

    async def _tools(self, http: httpx2.AsyncClient) -> list[tuple[ConnectorClient, str, ToolDescription]]:
        clients = [ConnectorClient(http, self.gateway_url, tools.connector) for tools in self.config.tools]
        listings = await asyncio.gather(*(client.list_tools() for client in clients))
        found = []
        for declared, client, listing in zip(self.config.tools, clients, listings, strict=True):
            listed = {tool.name: tool for tool in listing}
            # In the order of the declaration, not of the listing, which is not ours and may change between attempts.
            names = [name for name in declared.allow if name in listed]
            found += [(client, name_for_model(declared.connector, name), listed[name]) for name in names]
        return found


@asynccontextmanager
async def _http_client(assignment: Assignment, trust: ssl.SSLContext) -> AsyncIterator[httpx2.AsyncClient]:
    """The connections of one task: its token on every request, closed with it.

    No read timeout, because a model may think long; the deadline of the task ends everything. Only a connection
    that could not be opened is tried again, since then nothing was sent.
    """
    headers = {"Authorization": f"Bearer {assignment.token}"}
    if assignment.traceparent:
        headers["traceparent"] = assignment.traceparent
    async with httpx2.AsyncClient(
        headers=headers,
        timeout=httpx2.Timeout(None, connect=_CONNECT_SECONDS),
        transport=httpx2.AsyncHTTPTransport(verify=trust, retries=_CONNECT_RETRIES),
        trust_env=False,
    ) as client:
        yield client
