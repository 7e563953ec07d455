"""How a module is split over ranks: one file a split, torch's own where it has one."""
