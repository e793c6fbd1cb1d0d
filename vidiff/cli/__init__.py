"""The command line. Nothing here imports Lightning but ``vidiff.cli.model`` and what it needs."""
