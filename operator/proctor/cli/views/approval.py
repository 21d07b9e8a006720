"""Approvals in a person's words."""

from __future__ import annotations

from proctor.api.approval import ApprovalSpec


def people(spec: ApprovalSpec) -> str:
    """Who is asked, how many must agree, and who may not answer."""
    who = [*spec.approvers.users, *(f"group {each}" for each in spec.approvers.groups)]
    barred = [*spec.not_by, *((spec.requested_by,) if spec.four_eyes and spec.requested_by else ())]
    said = f"{', '.join(who)}; {spec.quorum} must agree"
    return f"{said}; not {', '.join(barred)}" if barred else said
