# input scales from calibrated ranges: written in all three layouts, one for q, k and v, and read back
TEXT=$ROOT/samples/generated-train.txt
MODEL=$DATA/models/tiny-gpt-oss
"$QCONV" calibrate "$MODEL" --text "$TEXT" --ctx 128 --windows 6 --quiet -o stats.gguf
for layout in modelopt compressed-tensors; do
	"$QCONV" "$MODEL" $layout --q nvfp4 --layout $layout --act nvfp4 --imatrix stats.gguf --quiet
	"$QCONV" verify $layout --quiet | grep lint
	head -c 100000 $layout/model.safetensors | grep -a -o 'input_[a-z_]*scale' | sort | uniq -c
	grep -o '"quant_algo": "[A-Z0-9]*"' $layout/config.json || true
done
"$QCONV" "$MODEL" w4a4.gguf --q nvfp4 --act nvfp4 --imatrix stats.gguf --quiet
"$QCONV" verify w4a4.gguf --quiet | grep lint
grep -a -o 'input_scale' w4a4.gguf | wc -l
# refused: no ranges, another type, a kind that is not written
"$QCONV" "$MODEL" no --q nvfp4 --act nvfp4 || echo "$?"
"$QCONV" "$MODEL" no.gguf --q q4_0 --act nvfp4 --imatrix stats.gguf || echo "$?"
"$QCONV" "$MODEL" no --q nvfp4 --act fp8 --imatrix stats.gguf || echo "$?"
"$QCONV" calibrate "$MODEL" --text "$TEXT" --ctx 128 --windows 6 --quiet -o stats.dat
"$QCONV" "$MODEL" no --q nvfp4 --act nvfp4 --imatrix stats.dat || echo "$?"
