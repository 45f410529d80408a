"""Parts of a model that compute the same with fewer passes over memory: each proves it before it takes a place."""
