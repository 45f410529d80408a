"""What leaves tunesmith: `exporter` has the formats; `bundle` writes the winner as one folder that
runs without tunesmith, and verifies that it gives the measured answers.
"""
