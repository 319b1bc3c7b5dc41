# weights that the type holds exactly cannot gain: no matrix is kept, and the output is that of search
"$QCONV" "$ROOT/samples/tiny-gemma3" codes.gguf --q q4_0 --pure --quiet --no-manifest
"$QCONV" codes.gguf exact.gguf --q f32 --quiet --no-manifest
"$QCONV" exact.gguf calibrated.gguf --q q4_0 --pure --calib "$ROOT/samples/generated-heldout.txt" --calib-ctx 32 --calib-windows 16 --quiet --no-manifest --json |
	tr -d '\n' | grep -o '"calibration": {[^}]*}'
"$QCONV" exact.gguf searched.gguf --q q4_0 --pure --quiet --no-manifest
cmp calibrated.gguf searched.gguf
