"""The one reader of tables of all tasks: it uses what all values decide, and refuses the rest."""
