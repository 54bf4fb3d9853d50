"""Does not import."""

raise NameError("a mistake in the module")
