# FP4 in GGUF: tensor scales where llama.cpp multiplies them, mxfp4 codes moved into nvfp4, and the way back to the values
plan() { "$QCONV" "$DATA/models/tiny-gpt-oss" out.gguf --dry-run "$@" | grep -E '^(output|token_embd|blk\.0\.(attn_q|ffn_up_exps))\.weight'; }
plan --q nvfp4
plan --q mxfp4_moe
plan --q mxfp4
plan
"$QCONV" "$DATA/models/tiny-gpt-oss" out.gguf --q nvfp4 --dry-run --json | grep -o '"name": "blk.0.attn_q.scale", "type": "f32"'
"$QCONV" "$DATA/models/tiny-gpt-oss" out.gguf --q nvfp4 2>&1 | grep exact
"$QCONV" verify out.gguf --against "$DATA/models/tiny-gpt-oss" --quiet | grep against
"$QCONV" out.gguf again.gguf --quiet
cmp out.gguf again.gguf
"$QCONV" hash out.gguf | grep -c 'scale$'
# a model trained for q4_0, its weights rounded to bf16, lies on its lattice
"$QCONV" "$ROOT/samples/tiny-gemma3" trained.gguf --q q4_0 --pure --method reference --quiet
"$QCONV" trained.gguf plain.gguf --q bf16 --quiet
"$QCONV" plain.gguf found.gguf --q q4_0 --pure 2>&1 | grep -E '^blk.0.attn_q|exact'
"$QCONV" verify found.gguf --against trained.gguf --tolerance 0 --quiet | grep against
