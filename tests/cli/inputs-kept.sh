# an output that is, by whatever name, a text, an imatrix or rules that are read: refused, and the file is as it was
MODEL=$DATA/models/tiny-llama
cp "$ROOT/samples/generated-heldout.txt" text.gguf
cp "$DATA/goldens/tiny-llama.imatrix.gguf" stats.gguf
echo 'ffn_down = q8_0' >rules.gguf
ln text.gguf link.gguf
cksum ./*.gguf >before
try() { "$QCONV" "$@" --force --quiet || echo "$?"; }
try calibrate "$MODEL" --text text.gguf --ctx 64 --windows 1 -o link.gguf
try calibrate "$MODEL" --text text.gguf --in stats.gguf --ctx 64 --windows 1 -o stats.gguf
try calibrate --in stats.gguf -o stats.gguf
try "$MODEL" link.gguf --q q4_0 --calib text.gguf --calib-ctx 64
try "$MODEL" stats.gguf --q q4_0 --imatrix stats.gguf
try "$MODEL" rules.gguf --q q4_0 --recipe rules.gguf
cksum ./*.gguf | cmp - before
"$QCONV" "$MODEL" model --q nf4 --quiet
cp stats.gguf model
try "$MODEL" model/ --q nf4 --imatrix model/stats.gguf
ls model
