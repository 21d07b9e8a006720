"""Exams: what a revision must answer before it gets any task. Pure; running the trials is somebody else's.

suite = parse(text_of(config_map.data))                    # SuiteError names case and field
batch = trials(suite)                                      # what to run, on one revision
asked = questions(suite, results)                          # what to ask a judging model, if a case wants one
report = grade(suite, results, judgements)
exam = examined([Required(name, least, required, report, None, baseline, margin)])   # no run, no pass
"""

from proctor.delivery.exam.answers import Call, Result
from proctor.delivery.exam.comparison import Comparison, compare
from proctor.delivery.exam.grade import CaseReport, Report, grade
from proctor.delivery.exam.judging import Judgement, Question, judgement, questions
from proctor.delivery.exam.outcome import Exam, Required, examined
from proctor.delivery.exam.suite import Case, Suite, SuiteError, Trial, parse, text_of, trials

__all__ = [
    "Call",
    "Case",
    "CaseReport",
    "Comparison",
    "Exam",
    "Judgement",
    "Question",
    "Report",
    "Required",
    "Result",
    "Suite",
    "SuiteError",
    "Trial",
    "compare",
    "examined",
    "grade",
    "judgement",
    "parse",
    "questions",
    "text_of",
    "trials",
]
