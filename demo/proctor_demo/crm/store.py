"""The CRM's SQLite file: written once at start, only read afterwards."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from pathlib import Path

from proctor_demo.crm import seed
from proctor_demo.crm.records import Customer, Order, OrderLine

_SCHEMA = """
DROP TABLE IF EXISTS customers;
DROP TABLE IF EXISTS orders;
CREATE TABLE customers (customer_id TEXT PRIMARY KEY, email TEXT UNIQUE NOT NULL, record TEXT NOT NULL);
CREATE TABLE orders (
    order_id TEXT PRIMARY KEY,
    customer_id TEXT NOT NULL REFERENCES customers,
    status TEXT NOT NULL,
    placed_on TEXT NOT NULL,
    delivered_on TEXT,
    lines TEXT NOT NULL
);
CREATE INDEX orders_of_customer ON orders (customer_id, placed_on);
"""


class Crm:
    """The customers and orders as seen on `today`."""

    def __init__(self, database: Path | None, today: date, *, customers: int = 240, seed_value: int = 7) -> None:
        """Open `database` (in memory if None) and fill it anew; what it held before is dropped."""
        self._today = today
        # One connection for all threads: after the seeding there are only reads, which SQLite itself serialises.
        self._connection = sqlite3.connect(database or ":memory:", check_same_thread=False)
        self._connection.executescript(_SCHEMA)
        with self._connection:
            self._fill(customers, seed_value)

    def customer(self, customer_id: str) -> Customer | None:
        """The customer of this id, or None."""
        return self._customer("SELECT record FROM customers WHERE customer_id = ?", customer_id.strip())

    def customer_by_email(self, email: str) -> Customer | None:
        """The customer of this e-mail address, or None."""
        return self._customer("SELECT record FROM customers WHERE email = ?", email.strip().lower())

    def order(self, order_id: str) -> Order | None:
        """The order of this id, or None."""
        row = self._connection.execute(_ORDER_BY_ID, (order_id.strip(),)).fetchone()
        return None if row is None else self._order(row)

    def orders_of(self, customer_id: str, limit: int) -> list[Order]:
        """At most `limit` orders of the customer, the newest first."""
        rows = self._connection.execute(_ORDERS_OF_CUSTOMER, (customer_id.strip(), limit))
        return [self._order(row) for row in rows]

    def _customer(self, query: str, value: str) -> Customer | None:
        row = self._connection.execute(query, (value,)).fetchone()
        return None if row is None else Customer.model_validate_json(row[0])

    def _order(self, row: tuple[str, str, str, str, str | None, str]) -> Order:
        order_id, customer_id, status, placed_on, delivered_on, lines_json = row
        delivered = None if delivered_on is None else date.fromisoformat(delivered_on)
        lines = [OrderLine.model_validate(line) for line in json.loads(lines_json)]
        return Order.model_validate(
            {
                "order_id": order_id,
                "customer_id": customer_id,
                "status": status,
                "placed_on": placed_on,
                "delivered_on": delivered,
                "days_since_delivery": None if delivered is None else (self._today - delivered).days,
                "total": round(sum(line.quantity * line.unit_price for line in lines), 2),
                "lines": lines,
            }
        )

    def _fill(self, customers: int, seed_value: int) -> None:
        self._connection.executemany(
            "INSERT INTO customers VALUES (?, ?, ?)",
            ((c.customer_id, c.email, c.model_dump_json()) for c in seed.customers(customers, self._today, seed_value)),
        )
        self._connection.executemany(
            "INSERT INTO orders VALUES (?, ?, ?, ?, ?, ?)",
            (
                (
                    order.order_id,
                    order.customer_id,
                    order.status,
                    order.placed_on.isoformat(),
                    None if order.delivered_on is None else order.delivered_on.isoformat(),
                    json.dumps([line.model_dump() for line in order.lines]),
                )
                for order in seed.orders(customers, self._today, seed_value)
            ),
        )


_ORDER_BY_ID = "SELECT order_id, customer_id, status, placed_on, delivered_on, lines FROM orders WHERE order_id = ?"
_ORDERS_OF_CUSTOMER = (
    "SELECT order_id, customer_id, status, placed_on, delivered_on, lines FROM orders"
    " WHERE customer_id = ? ORDER BY placed_on DESC, order_id LIMIT ?"
)
