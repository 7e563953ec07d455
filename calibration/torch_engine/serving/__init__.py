"""Parameter servers for real: workers push gradients and pull parameters.

`places` says which processes there are, `pieces` what each holds of every tensor,
`levels` who sends what to whom, first inside a node and then between nodes; `worker`
and `host` are the two ends.
"""
