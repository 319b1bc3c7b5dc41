# Sourced: sets LLAMA_DIR to the folder of libllama, installing the npm packages below $BUILD when npm is there; empty otherwise.
LLAMA_DIR=
if command -v npm >/dev/null 2>&1 && [ "$(uname -m)" = x86_64 ]; then
	if [ ! -d "$BUILD/npm/node_modules/@node-llama-cpp/linux-x64" ] || [ ! -d "$BUILD/npm/node_modules/@huggingface/tokenizers" ]; then
		mkdir -p "$BUILD/npm"
		cp tests/package.json "$BUILD/npm/"
		(cd "$BUILD/npm" && npm install --silent --no-audit --no-fund >/dev/null 2>&1) || true
	fi
	dir=$BUILD/npm/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64
	[ -d "$dir" ] && LLAMA_DIR=$(cd "$dir" && pwd)
fi
