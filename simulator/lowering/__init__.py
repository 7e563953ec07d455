"""From a plan to a workload: schedules, collectives, gradient synchronisation."""
