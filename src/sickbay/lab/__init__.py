"""Systems, really broken: the demo, the test bed, the benchmark and the training ground at once.

Nothing of the product but its command line imports this room.
"""
