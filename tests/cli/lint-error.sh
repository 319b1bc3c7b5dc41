mkdir m
cp "$DATA"/models/tiny-gpt-oss/* m
sed 's/"quant_method": "mxfp4"/"quant_method": "gptq"/' "$DATA/models/tiny-gpt-oss/config.json" > m/config.json
"$QCONV" verify m --quiet
