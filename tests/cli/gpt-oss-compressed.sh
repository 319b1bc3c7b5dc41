# gpt-oss for compressed-tensors: experts one by one, their codes moved, and together again on every way back
model="$DATA/models/tiny-gpt-oss"
"$QCONV" "$model" gpt --q mxfp4 --layout compressed-tensors --skip self_attn 2>&1 | grep -E 'loaders|exact'
"$QCONV" inspect gpt | grep -E 'blk\.0\.ffn.*exps\.3'
sed -n '/"ignore"/,/]/p' gpt/config.json | head -n 7
"$QCONV" verify gpt --against "$model" --quiet
name=general.name=str:same
"$QCONV" "$model" a.gguf --override-kv $name --quiet
"$QCONV" gpt b.gguf --override-kv $name --quiet
cmp a.gguf b.gguf
"$QCONV" a.gguf again --q mxfp4 --layout compressed-tensors --skip self_attn --quiet
cmp gpt/model.safetensors again/model.safetensors
"$QCONV" gpt own --q mxfp4 --layout gpt-oss --quiet
for file in model.safetensors config.json; do cmp "$model/$file" "own/$file"; done
# the same for NVFP4, whose group scales have these exponents
"$QCONV" gpt nvfp4 --q nvfp4 --skip self_attn 2>&1 | grep exact
"$QCONV" verify nvfp4 --against "$model" --quiet | grep against
