"""What the CRM tells about a customer and an order."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, Field

OrderStatus = Literal["processing", "shipped", "delivered", "returned", "cancelled"]
Tier = Literal["standard", "silver", "gold"]


class Address(BaseModel):
    """Where a customer lives."""

    street: str
    postal_code: str
    city: str
    country: str = Field(description="ISO 3166-1 alpha-2")


class Note(BaseModel):
    """What someone wrote into the customer's file; not necessarily an employee."""

    written_on: date
    author: str
    text: str


class Customer(BaseModel):
    """A customer and the notes in the file."""

    customer_id: str
    name: str
    email: str
    phone: str
    address: Address
    tier: Tier
    customer_since: date
    notes: list[Note]


class OrderLine(BaseModel):
    """One article of an order; the price is per piece, in EUR."""

    sku: str
    article: str
    quantity: int
    unit_price: float


class Order(BaseModel):
    """An order; `days_since_delivery` counts to the CRM's own today and is null until delivered."""

    order_id: str
    customer_id: str
    status: OrderStatus
    placed_on: date
    delivered_on: date | None
    days_since_delivery: int | None
    total: float = Field(description="EUR")
    lines: list[OrderLine]


class Orders(BaseModel):
    """A customer's orders, the newest first."""

    orders: list[Order]
