"""What has to fit on a device: the parts, and the moment when they are most.

`parts` names them, `needs` says what a layer takes while its backward runs, `walk`
follows a rank's schedule, `peak` finds the fullest rank, and `remedy` the nearest
change to a plan under which that fits.
"""
