"""How long is the record kept? A closed log goes as a whole, since a log without its beginning proves nothing."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from proctor_gateway.record.appending import OPEN
from proctor_gateway.store.tables import checkpoints, record_logs, record_nodes, records


def purge(connection: sa.Connection, before: datetime, most: int) -> bool:
    """Throw away at most so many records of logs that ended before that time. Whether there may be more."""
    query = sa.select(record_logs.c.id).where(record_logs.c.state != OPEN, record_logs.c.closed_at < before)
    name = connection.execute(query.order_by(record_logs.c.closed_at).limit(1)).scalar_one_or_none()
    if name is None:
        return False
    # The end first: what is left of a log that is being thrown away is never taken for the whole of it.
    oldest = sa.select(records.c.seq).where(records.c.log == name).order_by(records.c.seq.desc()).limit(most)
    gone = connection.execute(sa.delete(records).where(records.c.log == name, records.c.seq.in_(oldest)))
    if gone.rowcount < most:
        for table in (record_nodes, checkpoints):
            connection.execute(sa.delete(table).where(table.c.log == name))
        connection.execute(sa.delete(record_logs).where(record_logs.c.id == name))
    return True
