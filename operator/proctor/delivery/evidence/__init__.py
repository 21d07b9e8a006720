"""The evidence of an upgrade: what the tasks of two revisions say, at whatever moment one looks. Pure.

capital = Capital.begin([Metric("answered", margin=0.05)])
capital = fold(capital, observations, now)              # each task once, in assignment order
verdict = judge(capital, Analysis(), exposure, now)     # Promote | Rollback | Collecting
"""

from proctor.delivery.evidence.capital import Account, Capital, Kind, Metric, Tally, fold, retried
from proctor.delivery.evidence.figures import Figures, MetricFigures
from proctor.delivery.evidence.observation import Observation
from proctor.delivery.evidence.verdict import Analysis, Collecting, Exposure, Promote, Rollback, Verdict, judge

__all__ = [
    "Account",
    "Analysis",
    "Capital",
    "Collecting",
    "Exposure",
    "Figures",
    "Kind",
    "Metric",
    "MetricFigures",
    "Observation",
    "Promote",
    "Rollback",
    "Tally",
    "Verdict",
    "fold",
    "judge",
    "retried",
]
