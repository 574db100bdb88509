"""What an evaluation leaves behind: one result as JSON, and one line of JSON per sample.

``results/<benchmark>.json`` says which number, of which model, under which protocol; beside it
``<benchmark>.samples.jsonl`` holds every answer, so that two runs can be compared pair by pair and
answers can be scored again without a model. Nothing here needs torch.
"""

from vlft.results.files import (
    LONGEST_STEM,
    REPORT_ENDING,
    file_stem,
    read_result,
    read_samples,
    write_export,
    write_result,
)
from vlft.results.records import (
    SCHEMA_VERSION,
    Interval,
    Metric,
    ModelIdentity,
    Protocol,
    RankingKey,
    Real,
    Record,
    Result,
    Sample,
    protocol_differences,
    rank_together,
)

__all__ = [
    "LONGEST_STEM",
    "REPORT_ENDING",
    "SCHEMA_VERSION",
    "Interval",
    "Metric",
    "ModelIdentity",
    "Protocol",
    "RankingKey",
    "Real",
    "Record",
    "Result",
    "Sample",
    "file_stem",
    "protocol_differences",
    "rank_together",
    "read_result",
    "read_samples",
    "write_export",
    "write_result",
]
