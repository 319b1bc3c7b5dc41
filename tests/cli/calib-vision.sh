# a checkpoint with more than text, calibrated into a directory: what the engine does not compute is moved as it is
mkdir model
cp "$ROOT/samples/tiny-gemma3"/*.json "$ROOT/samples/tiny-gemma3/tokenizer.model" model
cp "$ROOT/samples/tiny-gemma3/model.safetensors" model/model-00001-of-00002.safetensors
header='{"vision_tower.patch.weight":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
{
	printf '\121\0\0\0\0\0\0\0%s' "$header"
	printf '0123456789ab\0\0\200\077'
} >model/model-00002-of-00002.safetensors
{
	printf '{"metadata":{"total_size":9984472},"weight_map":{"vision_tower.patch.weight":"model-00002-of-00002.safetensors"'
	head -c 12000 model/model-00001-of-00002.safetensors | LC_ALL=C grep -ao '"model\.[^"]*"' | sed 's/.*/,&:"model-00001-of-00002.safetensors"/'
	echo '}}'
} >model/model.safetensors.index.json
"$QCONV" model out --q nvfp4 --calib "$ROOT/samples/generated-train.txt" --calib-windows 8 --calib-ctx 16 --quiet
"$QCONV" inspect out --json | grep -o '"name": "[^"]*vision[^"]*"'
grep -c 0123456789ab out/model.safetensors
# scaled channels: the same tensors are left out
"$QCONV" model out2 --q nf4 --awq --calib "$ROOT/samples/generated-train.txt" --dry-run --json --quiet | grep -o '"calibration_bytes"\|"vision_tower[^"]*"' | sort -u
