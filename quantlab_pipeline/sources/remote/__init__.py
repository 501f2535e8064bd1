"""What is fetched over the network: the archive's files into a folder, the venue's interface."""
