"""One module per sub-command, named like its rule: ``configure(parser)`` declares arguments, ``run(arguments)`` unpacks
them, calls one function and writes one artifact."""
