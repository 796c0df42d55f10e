"""What the command line does with the journal of this device: one module a command. Nothing is imported here."""
