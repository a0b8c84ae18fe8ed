"""The configuration's types (`schema`) and the options of engines; `segbench.planning.check` reads and checks it."""

PADDLE_3 = (
    "a Paddle 3 model in JSON form, which Paddle 2.6.2 and OpenVINO cannot read; export it again with the environment"
    " variable FLAGS_enable_pir_api=0, which writes .pdmodel and .pdiparams"
)
