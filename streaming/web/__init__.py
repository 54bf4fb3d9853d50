"""Flask glue: services, problems, rights, operations, open streams."""
