"""Where a model is trained: `training_service` is what every place promises, `local_trainer` is
this machine, and plugins add providers.
"""
