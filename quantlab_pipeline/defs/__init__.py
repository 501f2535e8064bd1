"""The only Dagster: resources, IO managers, partitions, jobs, schedules, assets, gate checks."""
