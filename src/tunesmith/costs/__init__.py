"""What training, evaluation and use cost in time, memory and money.

Before a run: `training_forecast` and `contender_forecast` (for `evaluate`: `evaluation_forecast`)
estimate its time from rates measured on this machine (`measured_rates`); `load_warnings` says how
much of a core this program gets. On the way `budget_replanning` keeps a decision within its time.
After a run `cost_calculation` builds the `CostReport`, and `break_even` finds the volume from which
one contender becomes cheaper than another.
"""
