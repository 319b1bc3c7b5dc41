# what loaders run as one layer is packed whole or not at all
try() { "$QCONV" "$@" --dry-run 2>&1 | tail -n 1; }
gemma="$ROOT/samples/tiny-gemma3"
oss="$DATA/models/tiny-gpt-oss"
try "$gemma" out --q nvfp4 --skip q_proj
try "$gemma" out --q mxfp4 --tensor 'layers.3.mlp.up_proj=f16'
try "$gemma" out --q fp8 --layout block --skip v_proj
try "$oss" out --q nvfp4 --skip 'experts.*down'
try "$oss" out --q mxfp4 --skip 'experts.2' --layout compressed-tensors
try "$oss" out --q mxfp4 --layout gpt-oss --skip 'layers.2.*gate_up'
# all of a layer, and formats that are read layer by layer
try "$gemma" out --q nvfp4 --skip '[qkv]_proj'
try "$gemma" out --q nvfp4 --skip o_proj --skip down_proj
try "$gemma" out --q nf4 --skip q_proj
