"""The certificate: V1 tried on many fresh markets whose truth is sealed, and its broken twins.

`bench` makes a null market in memory, `planting` puts an edge into it, `sealing` seals what goes
where, `judging` is our rule and sees no truth, `mutants` are broken versions of it, `rounds` takes
one market through all experiments, `grading` opens the truth and holds figures against the bands,
`certify` runs it all.
"""
