"""Dead letters: the dead-letter queue drained into the table `dead_letters`, and what operators see of it."""
