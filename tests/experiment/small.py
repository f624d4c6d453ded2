"""The default experiment, so small that it trains in a second or two."""

SMALL = [
    "name=small",
    "data.points=32",
    "data.refine=2",
    "data.num_steps=10",
    "data.test=3",
    "physical.window=4",
    "physical.warmup_steps=2",
    "physical.steps=2",
    "physical.viscosity.grid=[4]",
    "synthetic.window=2",
    "synthetic.width=4",
    "synthetic.depth=1",
    "synthetic.warmup_steps=4",
    "synthetic.steps=3",
    "hybrid.cycles=2",
    "hybrid.generated_per_real=2",
    "hybrid.alpha={kind: fixed, value: 0.5}",
]
