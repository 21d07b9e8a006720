"""The CRM's MCP server."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import Field

from proctor_demo.crm.records import Customer, Order, Orders
from proctor_demo.crm.store import Crm

_READ = ToolAnnotations(read_only_hint=True, idempotent_hint=True, open_world_hint=False)


def make_server(crm: Crm) -> MCPServer:
    """The MCP server over `crm`: three tools, all of which only read."""
    server: MCPServer = MCPServer("crm", instructions="Customers and their orders.", log_level="WARNING")

    @server.tool(annotations=_READ)
    def get_customer(customer_id: str | None = None, email: str | None = None) -> Customer:
        """Look up a customer by customer_id (like C-1042) or by e-mail address; give exactly one of the two."""
        if (customer_id is None) == (email is None):
            raise ToolError("give either customer_id or email")
        found = crm.customer(customer_id) if customer_id is not None else crm.customer_by_email(email or "")
        if found is None:
            raise ToolError(f"there is no customer {customer_id or email}")
        return found

    @server.tool(annotations=_READ)
    def list_orders(customer_id: str, limit: Annotated[int, Field(ge=1, le=100)] = 20) -> Orders:
        """List the orders of a customer, the newest first."""
        if crm.customer(customer_id) is None:
            raise ToolError(f"there is no customer {customer_id}")
        return Orders(orders=crm.orders_of(customer_id, limit))

    @server.tool(annotations=_READ)
    def get_order(order_id: str) -> Order:
        """Look up an order by order_id (like O-50042): its status, dates, lines and total."""
        found = crm.order(order_id)
        if found is None:
            raise ToolError(f"there is no order {order_id}")
        return found

    return server
