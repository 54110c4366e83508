"""What build.py does: making the environment, the demo, the tests, the extension's zip, training and benchmarks.

Only the standard library is imported here: these modules run before the environment exists.
"""
