"""The payment service: its MCP tools, the ledger as JSON and as a page."""

from __future__ import annotations

import html
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route

from proctor_demo.payments.ledger import KeyReused, Ledger, LedgerEntry, Payment

IDEMPOTENCY_KEY = "proctor.dev/idempotency-key"
"""The `_meta` key of a tools/call: the same value with the same arguments is the same payment."""


class Payments(BaseModel):
    """Payments, the newest first."""

    payments: list[Payment]


def make_server(ledger: Ledger) -> MCPServer:
    """The MCP server over `ledger`: `refund` writes, `list_payments` reads."""
    server: MCPServer = MCPServer("payments", instructions="Refunds of orders, in EUR.", log_level="WARNING")

    @server.tool(annotations=ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=True))
    def refund(
        order_id: Annotated[str, Field(pattern=r"^O-\d+$")],
        amount: Annotated[float, Field(gt=0, le=10_000, description="EUR, at most two decimals")],
        reason: Annotated[str, Field(min_length=1, max_length=500)],
        context: Context[Any, Any],
    ) -> Payment:
        """Pay money back for an order. Every call without an idempotency key is a payment of its own."""
        meta = context.request_context.meta or {}
        key = meta.get(IDEMPOTENCY_KEY)
        if key is not None and not isinstance(key, str):
            raise ToolError(f"_meta[{IDEMPOTENCY_KEY!r}] is not a string")
        try:
            return ledger.refund(order_id, _cents(amount), reason, key)
        except KeyReused as exc:
            raise ToolError(str(exc)) from exc

    @server.tool(annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False))
    def list_payments(order_id: str | None = None) -> Payments:
        """List the payments made, the newest first; those of one order if order_id is given."""
        return Payments(payments=[Payment(**entry.model_dump()) for entry in ledger.entries(order_id, limit=100)])

    return server


def make_routes(ledger: Ledger) -> list[Route]:
    """`GET /ledger` for programs, `GET /` for people."""

    async def as_json(request: Request) -> JSONResponse:
        entries = ledger.entries(request.query_params.get("order_id"))
        return JSONResponse({"entries": [entry.model_dump(mode="json") for entry in entries]})

    async def as_page(_: Request) -> HTMLResponse:
        return HTMLResponse(_page(ledger.entries()))

    return [Route("/ledger", as_json), Route("/", as_page)]


def _cents(amount: float) -> int:
    try:
        cents = Decimal(str(amount)) * 100
    except InvalidOperation as exc:
        raise ToolError(f"{amount} is not an amount") from exc
    if cents != cents.to_integral_value():
        raise ToolError(f"{amount} has more than two decimals")
    return int(cents)


_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Payments</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c }}
  table {{ border-collapse: collapse; width: 100% }}
  th, td {{ text-align: left; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #ddd; overflow-wrap: anywhere }}
  td.amount {{ text-align: right; font-variant-numeric: tabular-nums }}
</style>
<h1>Payments</h1>
<p>{summary}</p>
<table>
<thead><tr><th>Payment</th><th>Order</th><th>EUR</th><th>Reason</th><th>Made at</th><th>Requests</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""


def _page(entries: list[LedgerEntry]) -> str:
    total = sum(entry.amount for entry in entries)
    summary = f"{len(entries)} paid, {total:.2f} EUR in all. Several requests of one idempotency key are one payment."
    return _PAGE.format(summary=summary, rows="\n".join(_row(entry) for entry in entries))


def _row(entry: LedgerEntry) -> str:
    reason = html.escape(entry.reason)
    made_at = entry.made_at.strftime("%Y-%m-%d %H:%M:%S")
    return (
        f"<tr><td>{entry.payment_id}</td><td>{html.escape(entry.order_id)}</td>"
        f'<td class="amount">{entry.amount:.2f}</td><td>{reason}</td><td>{made_at}</td><td>{entry.requests}</td></tr>'
    )
