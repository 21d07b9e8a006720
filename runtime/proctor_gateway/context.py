"""What every part of a running gateway is given: the others that it works with."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from proctor_gateway.clock import Clock
from proctor_gateway.cluster.known import Known
from proctor_gateway.ledger import Ledger
from proctor_gateway.metrics import Metrics
from proctor_gateway.settings import Settings
from proctor_gateway.state.allowances import Allowances
from proctor_gateway.state.catalog import Catalog
from proctor_gateway.state.credentials import Credentials
from proctor_gateway.state.endings import Endings
from proctor_gateway.state.flights import Flights
from proctor_gateway.state.gates import Gates
from proctor_gateway.state.governed import Policies
from proctor_gateway.state.identity import Identities
from proctor_gateway.state.keyring import Keyring
from proctor_gateway.state.revisions import Bundles
from proctor_gateway.store.database import Database
from proctor_gateway.upstream.http import Http
from proctor_gateway.upstream.mcp import Mcp


@dataclass(frozen=True)
class Context:
    """The parts, each made once for a process."""

    settings: Settings
    clock: Clock
    known: Known
    policies: Policies
    allowances: Allowances
    database: Database
    identities: Identities
    credentials: Credentials
    bundles: Bundles
    catalog: Catalog
    keyring: Keyring
    ledger: Ledger
    flights: Flights
    questions: asyncio.Event
    gates: Gates
    endings: Endings
    metrics: Metrics
    pods: Http
    models: Http
    mcp: Mcp
