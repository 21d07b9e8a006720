"""The model as the loop sees it: any OpenAI-compatible endpoint, which is the gateway's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx2
from openai import AsyncOpenAI
from openai.types import chat
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.profiles.openai import OpenAIModelProfile
from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

# What is sent must follow from what was declared alone. By default the library derives a profile from the model's
# name: rewritten schemas, dropped parameters, other roles. Here a name is only a name, which the gateway may map to
# any endpoint.
PORTABLE = OpenAIModelProfile(
    openai_system_prompt_role="system",
    openai_supports_strict_tool_definition=False,
    openai_supports_reasoning=False,
    openai_chat_supports_max_completion_tokens=False,
)


def make_model(
    name: str, parameters: Mapping[str, Any], base_url: str, token: str, http: httpx2.AsyncClient
) -> OpenAIChatModel:
    """The model `name` behind `base_url`; `parameters` go into every request body as they are.

    A failed request is not repeated here: the gateway retries and falls back, and a second try of its own would
    be one more call on the task's budget.
    """
    client = AsyncOpenAI(api_key=token, base_url=base_url, http_client=http, max_retries=0)
    provider = OpenAICompatibleProvider("gateway", openai_client=client, profile=lambda _: PORTABLE)
    return _GatewayModel(name, provider=provider, settings=OpenAIChatModelSettings(extra_body=dict(parameters)))


class _GatewayModel(OpenAIChatModel):
    def _validate_completion(self, response: chat.ChatCompletion) -> Any:
        """Give tool calls that came without an id one that follows from the answer.

        The library would draw a random one, and the next request of a repeated attempt would differ by it.
        """
        for choice in response.choices or ():
            for index, call in enumerate(choice.message.tool_calls or ()):
                # Parsed without validation, so that the field may be missing altogether.
                call.id = getattr(call, "id", None) or f"call_{response.id}_{index}"
        return super()._validate_completion(response)
