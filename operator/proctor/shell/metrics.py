"""What the operator tells Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

WRITES = Counter("proctor_operator_writes_total", "Writes sent to the API server.", ["kind", "verb"])
RECONCILES = Counter("proctor_operator_reconciles_total", "Reconciles by what came of them.", ["kind", "result"])
DURATION = Histogram(
    "proctor_operator_reconcile_duration_seconds",
    "Duration of a reconcile.",
    ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
QUEUE = Gauge("proctor_operator_queue_depth", "Keys that wait, due or not.")
OBJECTS = Gauge("proctor_operator_cached_objects", "Objects in the cache.")
LEADER = Gauge("proctor_operator_leader", "1 while this process holds the lease.")
WATCHED = Gauge(
    "proctor_operator_last_event_timestamp_seconds", "When the watch of a kind last told of something.", ["kind"]
)
MISSED = Counter("proctor_operator_watch_missed_total", "Changes that a list showed before the watch did.", ["kind"])
RECORDS_WAITING = Gauge("proctor_operator_records_waiting", "Decisions that the record has not been told of yet.")
RECORDS_LOST = Counter("proctor_operator_records_lost_total", "Decisions that the record could not be told of.")
ANCHORED = Gauge("proctor_record_anchored_timestamp_seconds", "When all logs of the record were last looked at.")
ANCHOR_ALARMS = Counter("proctor_record_alarms_total", "Looks at a log that was not what it had been.", ["reason"])
ADMISSIONS = Counter("proctor_operator_admissions_total", "Answers of the webhook.", ["resource", "answer"])
ADMISSION_DURATION = Histogram(
    "proctor_operator_admission_duration_seconds",
    "How long the webhook took to answer.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2),
)
CERTIFICATE_ENDS = Gauge(
    "proctor_operator_webhook_certificate_end_timestamp_seconds", "When the certificate that is served with ends."
)
