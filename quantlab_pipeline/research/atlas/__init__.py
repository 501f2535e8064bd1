"""The research backlog: what was tried, what was learnt, what comes next."""
