"""What training, evaluation and use cost in time, memory and money.

Before a run: `training_forecast` and `evaluation_forecast` estimate its time from rates measured on
this machine (`measured_rates`); `machine_load` says how much of a core this program gets. After a
run: `cost_calculation` builds the `CostReport`, `break_even` finds the volume from which one
contender becomes cheaper than another.
"""
