mkdir m
cp "$DATA"/models/tiny-gemma3-bnb-nf4/* m
sed 's/"llm_int8_skip_modules": null/"llm_int8_skip_modules": ["o_proj"]/' "$DATA/models/tiny-gemma3-bnb-nf4/config.json" > m/config.json
"$QCONV" verify m --quiet --json
