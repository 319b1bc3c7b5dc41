plan() { "$QCONV" "$ROOT/tests/data/models/tiny-llama" out.gguf --q q4_k_m --dry-run "$@" | awk '$2 ~ /x/ && /^(output|token_embd|blk.0.attn_v|blk.1.ffn_up)/'; }
plan --output-type q8_0 --token-embedding-type Q5_1
plan --output-tensor-type q5_k --tensor-type 'attn_v=q8_0'
plan --leave-output-tensor
