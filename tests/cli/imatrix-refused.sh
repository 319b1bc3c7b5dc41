# importance matrices that are none, or another model's, and types that cannot do without
MODEL=$DATA/models/tiny-llama
try() { "$QCONV" "$MODEL" out.gguf --quiet "$@" || echo "$?"; }
try --q q4_0 --imatrix none.gguf
try --q q4_0 --imatrix "$ROOT/README.md"
try --q q4_0 --imatrix "$DATA/goldens/tiny-gemma3.imatrix.gguf"
try --q q4_0 --imatrix "$DATA/goldens/tiny-gpt-oss-bf16.imatrix.gguf"
try --q q4_0 --imatrix "$ROOT/tests/fuzz/corpus/imatrix/ok.dat"
try --q q4_0 --imatrix "$ROOT/tests/fuzz/corpus/imatrix/nan.gguf"
try --q q4_0 --imatrix "$ROOT/tests/fuzz/corpus/imatrix/twice.dat"
try --q iq2_xxs
"$QCONV" "$ROOT/samples/tiny-gemma3" bf16.gguf --q bf16 --quiet --no-manifest
try --q q4_0 --imatrix bf16.gguf
try --q q4_0 --imatrix "$DATA/goldens/tiny-llama.imatrix.gguf" --dry-run | grep imatrix
# those that are added to a calibration are looked at before it begins
for other in tiny-gpt-oss-bf16 tiny-gemma4; do
	"$QCONV" calibrate "$MODEL" --text "$ROOT/samples/generated-heldout.txt" --in "$DATA/goldens/$other.imatrix.gguf" -o added.gguf || echo "$?"
done
"$QCONV" calibrate --in "$DATA/goldens/tiny-llama.imatrix.gguf" --in "$DATA/goldens/tiny-gemma4.imatrix.gguf" -o added.gguf || echo "$?"
ls
