"""The record as a running gateway keeps it: whole, signed, provable, and without a word of what was said."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path

import httpx2
import pytest

from proctor.audit.notes import Verifier
from proctor.audit.records import Record
from proctor.audit.verifier import verify
from proctor.cli.errors import Denied
from proctor.cli.record import RecordReader
from proctor_gateway.rules.access import Identity
from tests.demo.processes import System
from tests.gateway import objects
from tests.gateway.house import House, house
from tests.gateway.serving import eventually

PERSON = "zebra-4711-secret"
"""What a customer says; it must not be in the record."""
QUESTION = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": PERSON}]}
AUDITOR_TOKEN = objects.token("auditor", "proctor-gateway")
QUICK = {"record_checkpoint_seconds": 0.1, "auditors": ("system:serviceaccount:proctor-system:proctor-auditor",)}


@pytest.fixture
async def kept(directory: Path, model: System, crm: System, payments: System):
    """A gateway that signs its record ten times a second."""
    async with house(directory, **QUICK) as built:
        built.connect("llm", "Model", f"{model.url}/v1", prices=objects.PRICES)
        built.connect("crm", "MCP", f"{crm.url}/mcp", tools=objects.CRM_TOOLS)
        built.connect("payments", "MCP", f"{payments.url}/mcp", tools=objects.PAYMENT_TOOLS)
        await built.settled()
        yield built


def http(built: House, token: str = objects.OPERATOR_TOKEN) -> httpx2.Client:
    """The gateway's internal listener, as that identity."""
    headers = {"authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=built.internal_url, headers=headers, trust_env=False, timeout=20)


async def exported(built: House) -> tuple[dict[str, dict[str, bytes]], list[Verifier], list[Record]]:
    """The whole record when all of it is signed: its files, keys and records."""

    def read():
        with http(built) as client:
            reader = RecordReader(client)
            logs = reader.logs()
            if any(log.signed < log.size for log in logs):
                return None
            files = {log.id: reader.files(log.id) for log in logs}
            return files, [Verifier.parse(log.verifier) for log in logs]

    found = None
    async with asyncio.timeout(10):
        while found is None:
            found = await asyncio.to_thread(read)
    files, keys = found
    lines = [line for each in files.values() for line in each["records.jsonl"].splitlines()]
    return files, keys, [Record.parse(line) for line in lines]


async def test_what_a_task_does_is_in_the_record(kept: House):
    """Begin and end, each call before and after, each denial; all of it verifies."""
    async with kept.pod("one"):
        done = await kept.done(
            {"chat": QUESTION},
            {"call": ["crm", "get_customer", {"customer_id": "C-1042"}]},
            {"call": ["crm", "delete_everything", {"why": PERSON}]},
            conversation=PERSON,
        )
        files, keys, records = await exported(kept)
    assert verify(files, keys).is_whole
    mine = [each for each in records if each.fields.get("run", {}).get("id") == done["id"]]
    assert Counter(each.type for each in mine) == {
        "run.start": 1,
        "llm.call": 2,
        "tool.request": 1,
        "tool.result": 1,
        "policy.decision": 1,
        "run.end": 1,
    }
    assert {each.fields["principal"]["sub"] for each in mine} == {objects.CALLER}
    assert {each.fields["agent"]["revision"] for each in mine} == {kept.revision}
    reserved = [each.fields["budget"]["reserved_micros"] for each in mine if "budget" in each.fields]
    assert len(reserved) == 1, "what is set aside is told with the question, before it is sent"
    assert reserved[0] > 0
    denied = next(each for each in mine if each.type == "policy.decision")
    assert denied.fields["decision"] == {"outcome": "deny", "reason": "PolicyDenied"}
    assert mine[-1].fields["result"]["phase"] == done["phase"]
    answered = [each.fields["model"] for each in mine if each.type == "llm.call"][-1]
    assert answered["resolved"].startswith("gpt-5-mini")


async def test_no_word_of_what_was_said_is_in_the_record(kept: House, capfd: pytest.CaptureFixture[str]):
    """Neither of questions and arguments nor of answers, nor a conversation's name; nor in the log."""
    async with kept.pod("one"):
        await kept.done(
            {"chat": QUESTION},
            {"call": ["crm", "get_customer", {"customer_id": PERSON}]},
            {"call": ["payments", "refund", {"order_id": PERSON, "amount": 1.0, "reason": PERSON}]},
            conversation=PERSON,
        )
        files, _, _ = await exported(kept)
    everything = b"".join(content for each in files.values() for content in each.values())
    assert PERSON.encode() not in everything
    assert objects.KEY not in everything
    assert PERSON not in "".join(capfd.readouterr())


async def test_an_intent_that_cannot_be_recorded_is_not_sent(kept: House, payments: System):
    """Whoever has lost the log changes nothing in the world, and the task says so."""
    async with kept.pod("one"):
        from proctor_gateway.store.database import Database
        from proctor_gateway.store.tables import record_logs

        task = (await kept.task({"sleep": 1}, {"call": ["crm", "get_order", {"order_id": "O-1"}]})).json()["id"]
        await kept.in_phase(task, "Running")
        store = Database(kept.settings.store.get_secret_value())
        async with store.running():
            await store.write(lambda c: c.execute(record_logs.update().values(holder="another", state="Closed")))
            await kept.in_phase(task, "Running")
            made = await kept.calls(task)
    assert [each for each in made if each["state"] == "Succeeded"] == []


async def test_only_the_operator_and_auditors_read_it(kept: House):
    """A caller may not; an auditor that the settings name may, but takes nothing in."""
    kept.cluster.tokens[AUDITOR_TOKEN] = (
        Identity("system:serviceaccount:proctor-system:proctor-auditor"),
        "proctor-gateway",
    )

    def ask():
        with http(kept, objects.CALLER_TOKEN) as caller, http(kept, AUDITOR_TOKEN) as auditor:
            with pytest.raises(Denied):
                RecordReader(caller).logs()
            assert RecordReader(auditor).logs()
            assert auditor.post("/internal/records", json={"records": []}).status_code == 403
            assert auditor.delete("/internal/subjects/x").status_code == 403

    await asyncio.to_thread(ask)


def decision(**changes):
    """A decision of the operator."""
    agent = {"namespace": "support", "name": "refunds"}
    return {
        "id": "promote-1234",
        "type": "rollout.promote",
        "at": "2026-11-22T12:00:00Z",
        "fields": {"agent": agent, "rollout": {"stable": "abc"}},
        **changes,
    }


async def test_a_decision_of_the_operator_is_recorded_once(kept: House):
    """However often it is told, by its id."""

    def tell():
        with http(kept) as client:
            for _ in range(3):
                assert client.post("/internal/records", json={"records": [decision(), decision()]}).status_code == 200

    await asyncio.to_thread(tell)
    _, _, records = await exported(kept)
    found = [each for each in records if each.type == "rollout.promote"]
    assert [each.fields["id"] for each in found] == ["promote-1234"]
    assert found[0].fields["source"] == "operator"


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"type": "tool.request"}, "not the operator's"),
        ({"fields": {"rollout": {"weight": 0.5}}}, "no float"),
        ({"fields": {"password": "x"}}, "no field 'password'"),
        ({"id": "x"}, "records.1.id"),
        ({"at": "yesterday"}, "records.1.at"),
    ],
)
async def test_what_the_operator_may_not_record(kept: House, changes, detail):
    """A wrong one is refused by name, and nothing of its request is kept."""

    def tell():
        with http(kept) as client:
            return client.post("/internal/records", json={"records": [decision(id="good-1234"), decision(**changes)]})

    answer = await asyncio.to_thread(tell)
    assert answer.status_code == 422
    assert detail in answer.json()["detail"]
    _, _, records = await exported(kept)
    assert not [each for each in records if each.fields.get("source") == "operator"]


async def test_a_gateway_goes_on_with_the_log_of_the_one_before(directory: Path):
    """A restart verifies the end of the log and says so in it; the whole still verifies."""
    for instance in ("one", "two", "three"):
        async with house(directory, instance=instance, **QUICK) as built:
            files, keys, records = await exported(built)
    assert verify(files, keys).is_whole
    assert [each.type for each in records] == ["log.open", "log.recovered", "log.recovered"]


async def test_a_log_whose_end_was_changed_is_left_as_it_is(directory: Path):
    """A new log begins, names the old one's end and says what was wrong; nothing is added to the old one."""
    from proctor_gateway.store.database import Database
    from proctor_gateway.store.tables import records as table

    async with house(directory, **QUICK) as built:
        await exported(built)
        url = built.settings.store.get_secret_value()
    store = Database(url)
    async with store.running():
        await store.write(lambda c: c.execute(table.update().values(line=b'{"v":1}')))
    async with house(directory, instance="two", **QUICK) as built:
        with http(built) as client:
            logs = await asyncio.to_thread(RecordReader(client).logs)
            lines = list(await asyncio.to_thread(lambda: list(RecordReader(client).records(logs[1].id))))
    assert [each.state for each in logs] == ["Broken", "Open"]
    assert json.loads(lines[0])["previous"]["log"] == logs[0].id
    assert "Broken" in json.loads(lines[0])["previous"]["reason"]


async def test_another_key_begins_another_log(directory: Path):
    """The new log names where the old one was signed for the last time; each is verified with its own key alone."""
    async with house(directory, **QUICK) as built:
        old_files, old_keys, _ = await exported(built)
    shutil.rmtree(built.settings.record_keys)
    async with house(directory, instance="two", **QUICK) as after:
        files, keys, records = await exported(after)
    (old,) = old_files
    new = next(log for log in files if log != old)
    assert {each.name for each in keys} == {f"proctor.dev/record/{log}" for log in (old, new)}
    assert verify(files, keys).is_whole
    assert verify({old: files[old]}, old_keys).is_whole
    assert not verify({new: files[new]}, old_keys).is_whole
    opened = next(each for each in records if each.place.log == new)
    assert opened.type == "log.open"
    assert opened.fields["previous"]["log"] == old


async def test_a_full_log_is_closed_and_the_next_names_its_end(directory: Path):
    """Rotation by size; both verify, and together."""
    async with house(directory, **QUICK, record_rotate_records=5) as built:

        def tell(number: int):
            with http(built) as client:
                body = {"records": [decision(id=f"number-{number}-{each}") for each in range(4)]}
                assert client.post("/internal/records", json=body).status_code == 200

        for number in range(3):
            await asyncio.to_thread(tell, number)
            await asyncio.sleep(1.2)
        files, keys, records = await exported(built)
    assert len(files) >= 2
    assert verify(files, keys).is_whole
    assert {each.type for each in records} == {"log.open", "log.close", "rollout.promote"}


async def test_an_erased_subject_leaves_the_record_whole(directory: Path, crm: System):
    """Payloads are kept encrypted where that is set; after erasure they are gone, and every proof still holds."""
    from proctor_gateway.record.keys import PAYLOAD_KEY
    from proctor_gateway.record.payloads import Vault
    from proctor_gateway.store.database import Database

    async with house(directory, **QUICK, record_payloads=True) as built:
        built.connect("crm", "MCP", f"{crm.url}/mcp", tools=objects.CRM_TOOLS)
        await built.settled()
        async with built.pod("one"):
            await built.done({"call": ["crm", "get_customer", {"customer_id": "C-1042"}]}, conversation=PERSON)
        _, _, before = await exported(built)
        payload = next(each for each in before if each.type == "tool.request").fields["payload"]["id"]
        store = Database(built.settings.store.get_secret_value())
        vault = Vault((built.settings.record_keys / PAYLOAD_KEY).read_bytes())
        async with store.running():
            assert b"C-1042" in await store.read(lambda c: vault.read(c, payload))

            def read(token: str = objects.OPERATOR_TOKEN):
                with http(built, token) as client:
                    return client.get(f"/internal/payloads/{payload}")

            assert "C-1042" in (await asyncio.to_thread(read)).text
            assert (await asyncio.to_thread(read, objects.CALLER_TOKEN)).status_code == 403

            def erase():
                with http(built) as client:
                    of = {"namespace": "support", "of": PERSON}
                    subject = client.post("/internal/subjects", json=of).json()["subject"]
                    return client.delete(f"/internal/subjects/{subject}").json()

            assert (await asyncio.to_thread(erase))["payloads"] >= 2
            assert await store.read(lambda c: vault.read(c, payload)) is None
            assert (await asyncio.to_thread(read)).status_code == 404
        files, keys, after = await exported(built)
    assert verify(files, keys).is_whole
    assert after[-1].type == "subject.erased"


async def test_what_is_not_signed_is_not_handed_out(directory: Path):
    """A tile beyond the last checkpoint might still be taken back, and is not there."""
    async with house(directory, record_checkpoint_seconds=3600) as built:

        def ask():
            with http(built) as client:
                (log,) = RecordReader(client).logs()
                return [
                    client.get(f"/internal/logs/{log.id}/tile/entries/000.p/{width}").status_code for width in (1, 2)
                ]

        await eventually(lambda: asyncio.to_thread(lambda: ask()[0] == 200))
        assert await asyncio.to_thread(ask) == [200, 404]
