"""The only writer to the cluster: a Plan in, its writes out, in the Plan's order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proctor.api import names
from proctor.plan.said import Batch
from proctor.plan.world import Deletion, Event, Manifest, Plan, name_of
from proctor.shell.cache import Key, key_of
from proctor.shell.errors import Blocked, Retry
from proctor.shell.ports import Ports


async def apply(plan: Plan, about: Manifest, ports: Ports) -> None:
    """Carries the Plan out for the object that it is about. Raises Retry or Blocked at the first write that fails."""
    # The status is a compare-and-swap itself; whatever else is written must not come of an object as it once was.
    if plan.applies or ((plan.deletions or plan.withdrawals) and plan.status is None):
        await _confirm(about, ports)
    for each in plan.rests_on:
        await _confirm(each, ports)
    for manifest in plan.applies:
        await _apply(manifest, ports)
    if plan.status is not None:
        await _report(plan.status, about, ports)
    for batch in plan.batches:
        await _begin(batch, about, ports)
    for event in plan.events:
        await ports.kube.tell(about, event, ports.clock.now())
    for withdrawal in plan.withdrawals:
        what = f"Approval {name_of(withdrawal.question)} is not needed any more, and may not be withdrawn"
        async with _told("WithdrawalRefused", what, about, ports):
            await _report(withdrawal.status, withdrawal.question, ports)
    for deletion in plan.deletions:
        what = f"{deletion.kind} {deletion.name} is not needed any more, and may not be deleted"
        async with _told("DeletionRefused", what, about, ports):
            await _delete(deletion, ports)
    for edit in plan.edits:
        # Last: what somebody else's object refuses must not keep from anything of our own.
        what = f"{edit.kind} {edit.namespace}/{edit.name} may not be written"
        async with _told("EditRefused", what, about, ports):
            await ports.kube.edit(edit)


@asynccontextmanager
async def _told(reason: str, what: str, about: Manifest, ports: Ports) -> AsyncIterator[None]:
    """A refusal is told by an Event, not a condition: what serves is as declared, and the status has said so.

    A condition would turn with each attempt: right until the write fails, and wrong until the next attempt.
    """
    try:
        yield
    except Blocked as exc:
        message = f"{what}: {exc}"
        await ports.kube.tell(about, Event(reason, message, "Warning"), ports.clock.now())
        raise Retry(message) from exc


async def _begin(batch: Batch, about: Manifest, ports: Ports) -> None:
    """Has trials run. Without an answer they are asked for again: a batch is run once, however often asked for."""
    metadata = about["metadata"]
    refusal = await ports.tasks.begin(metadata["namespace"], metadata["name"], batch)
    if refusal is not None and refusal.is_refused:
        event = Event("TrialsRefused", f"batch {batch.name}: {refusal.reason}", "Warning")
        await ports.kube.tell(about, event, ports.clock.now())


async def _apply(manifest: Manifest, ports: Ports) -> None:
    if ports.cache.version(key_of(manifest)) is None:
        await _refuse_foreign(manifest, ports)
    # What we wrote is known at once: a reconcile before the watch's echo must not write it again.
    ports.cache.put(await ports.kube.apply(manifest))


async def _refuse_foreign(manifest: Manifest, ports: Ports) -> None:
    """Server-side apply would take over an object of somebody else that happens to have the name."""
    kind, namespace, name = key_of(manifest)
    found = await ports.kube.get(kind, namespace, name)
    if found is not None and names.MEASURED in manifest["metadata"].get("labels", {}):
        # What was measured is added to, never begun again: a record that we did not know of was not read.
        ports.cache.put(found)
        raise Retry(f"{kind} {namespace}/{name} is there already and has to be read first")
    if found is None or _owners(found) & _owners(manifest):
        return
    raise Blocked("NameTaken", f"{kind} {namespace}/{name} exists and is not ours: delete or rename it")


def _owners(manifest: Manifest) -> set[str]:
    return {each["uid"] for each in manifest["metadata"].get("ownerReferences", ())}


async def _report(status: Manifest, about: Manifest, ports: Ports) -> None:
    metadata = about["metadata"]
    identity = {key: metadata[key] for key in ("name", "namespace", "uid", "resourceVersion") if key in metadata}
    # The resource version makes it a compare-and-swap: a status is never written onto a spec it was not computed from,
    # and a deposed leader's late write is refused.
    body = {"apiVersion": about["apiVersion"], "kind": about["kind"], "metadata": identity, "status": status}
    ports.cache.put(await ports.kube.apply_status(body))


async def _confirm(about: Manifest, ports: Ports) -> None:
    """Raises Retry unless the object is still the version on which the plan was decided.

    A watch may have lost an event, and the watch of one kind may be behind that of another, above all in a process
    that begins to lead. By an old status the Deployment that serves now would seem to belong to nobody; for an agent
    that is gone, children would be made as fast as the cluster collects them.
    """
    key, metadata = key_of(about), about["metadata"]
    found = await ports.kube.get(*key)
    if found is None:
        ports.cache.drop(key, metadata["uid"])
    else:
        ports.cache.put(found)
    if found is None or found["metadata"]["resourceVersion"] != metadata["resourceVersion"]:
        raise Retry(f"{key.kind} {key.name} is not what it was when this was decided")


async def _delete(deletion: Deletion, ports: Ports) -> None:
    lingering = await ports.kube.delete(deletion)
    if lingering is not None:
        ports.cache.put(lingering)
    else:
        ports.cache.drop(Key(deletion.kind, deletion.namespace, deletion.name), deletion.uid)
