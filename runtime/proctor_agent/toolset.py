"""The declared tools as the loop sees them: named `<connector>__<tool>`, carried out by the gateway."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from pydantic_ai import RunContext, ToolDefinition, ToolFailed
from pydantic_ai.toolsets import AbstractToolset, ToolsetTool
from pydantic_core import SchemaValidator, core_schema

from proctor_agent.connector_client import ConnectorClient, ToolDescription, ToolError

# An object and nothing more: the tool's server knows its own schema best, and its complaint reaches the model.
_AN_OBJECT = SchemaValidator(core_schema.dict_schema(keys_schema=core_schema.str_schema()))
_NAME_LIMIT = 64


class GatewayTools(AbstractToolset[None]):
    """The tools of all connectors of one task, in the order in which they were declared."""

    def __init__(self, tools: Sequence[tuple[ConnectorClient, str, ToolDescription]], retries: int) -> None:
        """`tools` are (client, name for the model, description)."""
        self._tools = {name: (client, tool) for client, name, tool in tools}
        self._retries = retries
        self._turn: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    @property
    def id(self) -> str:
        """One set per task."""
        return "gateway"

    async def get_tools(self, ctx: RunContext[None]) -> dict[str, ToolsetTool[None]]:  # noqa: ARG002 - the base's signature
        """The tools, read-only ones free to run beside others, all others alone and in the order asked for."""
        return {
            name: ToolsetTool(
                toolset=self,
                tool_def=ToolDefinition(
                    name=name,
                    description=tool.description,
                    parameters_json_schema=dict(tool.input_schema),
                    sequential=not tool.read_only,
                ),
                max_retries=self._retries,
                args_validator=_AN_OBJECT,
            )
            for name, (_, tool) in self._tools.items()
        }

    async def call_tool(
        self,
        name: str,
        tool_args: dict[str, Any],
        ctx: RunContext[None],  # noqa: ARG002 - the base's signature
        tool: ToolsetTool[None],  # noqa: ARG002
    ) -> Any:
        """What the tool answers; a failure the model may react to is its answer too."""
        client, description = self._tools[name]
        # The same call twice at once: the gateway tells the two apart by the order in which they come, so they
        # must come in the order asked for, or a repeated attempt could get their answers the other way round.
        async with self._turn[json.dumps([name, tool_args], sort_keys=True)]:
            try:
                return await client.call_tool(description.name, tool_args)
            except ToolError as exc:
                raise ToolFailed(str(exc)) from exc


def name_for_model(connector: str, tool: str) -> str:
    """`<connector>__<tool>` in the characters and the length that model APIs take (64 of `A-Za-z0-9_-`)."""
    plain = f"{connector}__{tool}"
    name = re.sub(r"[^A-Za-z0-9_-]", "_", plain)
    if name == plain and len(name) <= _NAME_LIMIT:
        return name
    # Two tools must not become one: whatever was changed is told apart by a hash of the whole.
    return f"{name[: _NAME_LIMIT - 9]}_{hashlib.sha256(plain.encode()).hexdigest()[:8]}"
