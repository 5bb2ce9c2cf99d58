"""The ``specdec`` command: ``main`` finds the subcommand, each subcommand is one module."""
