printf '<!DOCTYPE html><html><body>Not found</body></html>' >model.gguf
"$QCONV" inspect model.gguf
