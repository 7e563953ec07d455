"""The hardware: units, devices, links, clusters and what was fitted on them."""
