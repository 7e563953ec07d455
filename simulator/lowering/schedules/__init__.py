"""Pipeline schedules as data: one row of actions per pipeline rank.

Engines never learn a schedule's name: they see ops in the order of its rows. A
schedule also says where its stages sit, as its placement.
"""
