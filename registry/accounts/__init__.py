"""Who works here: accounts, sites, datasets, roles, tokens."""
