"""The plan, its lowering, the predicting engines, results and the command line."""
