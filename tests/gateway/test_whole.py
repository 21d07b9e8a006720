"""The way of a task through the whole gateway."""

from __future__ import annotations

from tests.gateway.house import House


async def test_a_task_goes_in_and_its_answer_comes_out(gateway: House):
    """Task in, pod, model, tool, answer out: with what it took and what it called."""
    async with gateway.pod("one"):
        task = await gateway.done({"chat": {}}, {"call": ["crm", "get_customer", {"customer_id": "C-1042"}]})
    assert (task["phase"], task["error"], task["attempts"]) == ("Succeeded", None, 1)
    said, found = task["output"]
    assert said["choices"][0]["message"]["content"] == "hello to you"
    assert found["structuredContent"]["customer_id"] == "C-1042"
    assert (task["usage"]["steps"], task["usage"]["toolCalls"]) == (1, 1)
    assert task["usage"]["inputTokens"] == said["usage"]["prompt_tokens"]
    model, tool = await gateway.calls(task["id"])
    assert (model["kind"], model["state"], model["name"]) == ("Model", "Succeeded", "gpt-5-mini")
    assert (tool["kind"], tool["state"], tool["effect"]) == ("Tool", "Succeeded", "Read")
    assert tool["arguments"] == {"customer_id": "C-1042"}
