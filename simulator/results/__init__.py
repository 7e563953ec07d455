"""What a run says: where the time went, and what was waited for.

`timeline` holds the spans of either engine; `metrics`, `messages`, `utilization` and
`links` derive from them what anyone reports, and `result` puts it together.
"""
