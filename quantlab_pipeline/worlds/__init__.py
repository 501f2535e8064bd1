"""Markets whose truth is known: the scenario language and its generators."""
