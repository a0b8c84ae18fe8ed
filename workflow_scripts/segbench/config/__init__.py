"""The configuration's types (`schema`) and the options of engines; `segbench.planning.check` reads and checks it."""
