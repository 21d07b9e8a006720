"""The command line of the demo systems."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp

_DESCRIPTION = """\
Small, real systems to try proctor with. Each one is an HTTP server that demands the key in the
environment variable API_KEY as `Authorization: Bearer <key>`; GET /healthz is open.

  model      an OpenAI-compatible model that answers by rules and needs no provider
  crm        customers and orders behind MCP, all invented, read only
  payments   refunds behind MCP, with an idempotency key and a ledger
"""
_EXAMPLES = """\
examples:
  API_KEY=k proctor-demo model --rules manifests/samples/refunds/rules.yaml --port 8001
  API_KEY=k proctor-demo crm --port 8002
  API_KEY=k proctor-demo payments --port 8003 --database /tmp/payments.db
  curl -H 'Authorization: Bearer k' http://127.0.0.1:8001/stats       how often each rule answered
  curl -H 'Authorization: Bearer k' http://127.0.0.1:8002/calls       how often each tool was called
  curl -H 'Authorization: Bearer k' http://127.0.0.1:8003/ledger      what was paid, and how often it was asked for
"""
DEFAULT_TODAY = date(2026, 11, 16)
_LEDGER = Path("/tmp/payments.db")  # noqa: S108 - the only writable place of the pod, which is its own


def main(argv: Sequence[str] | None = None) -> int:
    """Run one demo system until SIGTERM; 2 when it is told wrongly."""
    arguments = _parser().parse_args(argv)
    key = os.environ.get("API_KEY", "")
    if not key:
        print("proctor-demo: set API_KEY to the key that callers must send", file=sys.stderr)
        return 2
    run = {"model": _run_model, "crm": _run_crm, "payments": _run_payments}[arguments.system]
    return run(arguments, key)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="proctor-demo",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    systems = parser.add_subparsers(dest="system", required=True, metavar="model|crm|payments")
    listening = argparse.ArgumentParser(add_help=False)
    listening.add_argument("--host", default="0.0.0.0", help="address to listen on (%(default)s)")  # noqa: S104 - a pod's server
    listening.add_argument("--port", type=int, default=8000, help="port to listen on (%(default)s)")

    model = systems.add_parser("model", parents=[listening], help="the scripted model", description=_MODEL)
    model.add_argument(
        "--rules", type=Path, required=True, metavar="FILE", help="rules in YAML; read anew when changed"
    )
    model.add_argument("--check", action="store_true", help="only say whether the rules are valid")

    crm = systems.add_parser("crm", parents=[listening], help="customers and orders", description=_CRM)
    crm.add_argument("--database", type=Path, metavar="FILE", help="SQLite file, filled anew at start (in memory)")
    crm.add_argument("--customers", type=int, default=240, help="how many customers (%(default)s)")
    crm.add_argument("--seed", type=int, default=7, help="another seed, other people (%(default)s)")
    crm.add_argument("--today", type=_today, default=DEFAULT_TODAY, help="YYYY-MM-DD or `now` (%(default)s)")

    payments = systems.add_parser("payments", parents=[listening], help="refunds and their ledger")
    payments.add_argument("--database", type=Path, default=_LEDGER, metavar="FILE", help="SQLite file (%(default)s)")
    payments.add_argument("--delay", type=float, default=0.0, metavar="SECONDS", help="between paying and answering")
    payments.add_argument("--lose-answers", type=int, default=0, metavar="N", help="pay the first N, but do not answer")
    return parser


_MODEL = "Serves /v1/chat/completions and /v1/models by rules, and /stats. docs/scripted-model.md has the rules' words."
_CRM = (
    "Serves MCP at /mcp. Ages of orders count from --today, a fixed day by default, so that an order which is "
    "12 days old stays 12 days old."
)


def _today(text: str) -> date:
    try:
        return datetime.now(UTC).date() if text == "now" else date.fromisoformat(text)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"{text!r} is neither YYYY-MM-DD nor `now`") from exc


def _run_model(arguments: argparse.Namespace, key: str) -> int:
    from proctor_demo.bearer import KeyRequired
    from proctor_demo.model.app import make_app
    from proctor_demo.model.rulebook import InvalidRules, Rulebook
    from proctor_demo.serving import serve

    try:
        rulebook = Rulebook(arguments.rules)
    except InvalidRules as exc:
        print(f"proctor-demo: {exc}", file=sys.stderr)
        return 2
    if arguments.check:
        print(f"{arguments.rules}: {len(rulebook.current().rules)} rules, all valid")
        return 0
    serve(KeyRequired(make_app(rulebook), key), arguments.host, arguments.port)
    return 0


def _run_crm(arguments: argparse.Namespace, key: str) -> int:
    from proctor_demo.bearer import KeyRequired
    from proctor_demo.crm.server import make_server
    from proctor_demo.crm.store import Crm
    from proctor_demo.mcp_app import make_mcp_app
    from proctor_demo.serving import serve

    crm = Crm(arguments.database, arguments.today, customers=arguments.customers, seed_value=arguments.seed)
    serve(KeyRequired(make_mcp_app(make_server(crm)), key), arguments.host, arguments.port)
    return 0


def _run_payments(arguments: argparse.Namespace, key: str) -> int:
    from proctor_demo.bearer import KeyRequired
    from proctor_demo.mcp_app import make_mcp_app
    from proctor_demo.payments.answering import UnreliableAnswers
    from proctor_demo.payments.ledger import Ledger
    from proctor_demo.payments.server import make_routes, make_server
    from proctor_demo.serving import serve

    ledger = Ledger(arguments.database)
    app: ASGIApp = make_mcp_app(make_server(ledger), make_routes(ledger))
    if arguments.delay or arguments.lose_answers:
        app = UnreliableAnswers(app, arguments.delay, arguments.lose_answers)
    serve(KeyRequired(app, key, browser_paths=frozenset({"/", "/ledger"})), arguments.host, arguments.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
