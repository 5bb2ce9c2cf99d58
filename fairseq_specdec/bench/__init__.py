"""What ``specdec bench`` is made of: systems that decode, the measurement, and the report; see ``docs/bench.md``."""
