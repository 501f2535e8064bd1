"""The only Dagster: resources, IO managers, partitions, jobs, schedules, gates as checks, assets."""
