"""The steps by which the tables came to be, oldest first. Never change a step that was released:
add one.
"""
