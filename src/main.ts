// Picks a command.
