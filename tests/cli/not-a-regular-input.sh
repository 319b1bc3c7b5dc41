mkfifo pipe.gguf
"$QCONV" inspect pipe.gguf
