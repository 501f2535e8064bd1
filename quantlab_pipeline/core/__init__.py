"""The words of the project: columns, clocks, records, verdicts, errors. No pipeline, no storage."""
