"""A plugin of tunesmith with one part for each seam; its entry points stand in the folder beside
it."""
