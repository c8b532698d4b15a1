"""What everything stands on: checks, budgets, files, draws, workers; nothing of networks."""
