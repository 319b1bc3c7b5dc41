printf 'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9\n' >model.safetensors
"$QCONV" model.safetensors out.gguf --q q4_0
