"""People at the table: a person as the auditor, what they see and type, and the journal that loses nothing."""
