/* What a file is that is not what was expected: the usual failed downloads and mistaken formats. */
#include "base/file.h"

#include <string.h>
#include <strings.h>

#include "base/bytes.h"

struct magic {
	size_t at;
	const char *bytes;
	size_t n;
	const char *name;
};

#define OLD_GGML "an old GGML file from before GGUF (convert it with the llama.cpp of its time)"

/* Old GGML magics are u32 constants ('ggml', 'ggjt', ...), so on disk they stand reversed. */
static const struct magic magics[] = {
	{0, "version https://git-lfs", 23, "a Git LFS pointer (run 'git lfs pull')"},
	{0, "Entry not found", 15, "a failed download ('Entry not found')"},
	{0, "GGUF", 4, "a GGUF file"},
	{0, "FUGG", 4, "a GGUF file with its bytes swapped"},
	{0, "lmgg", 4, OLD_GGML},
	{0, "fmgg", 4, OLD_GGML},
	{0, "tjgg", 4, OLD_GGML},
	{0, "ggml", 4, OLD_GGML},
	{0, "ggmf", 4, OLD_GGML},
	{0, "ggjt", 4, OLD_GGML},
	{0, "algg", 4, "an old GGML LoRA adapter"},
	{0, "ggla", 4, "an old GGML LoRA adapter"},
	{0, "nsgg", 4, "a llama.cpp session"},
	{0, "qsgg", 4, "a llama.cpp session"},
	{0, "PK\3\4", 4, "a zip archive (PyTorch's .bin and .pt files are zip archives)"},
	{0, "PK\5\6", 4, "an empty zip archive"},
	{0, "PK\7\10", 4, "a split zip archive"},
	{0, "\x1f\x8b", 2, "gzip data"},
	{0, "BZh", 3, "bzip2 data"},
	{0,
	 "\xfd"
	 "7zXZ",
	 6, "xz data"},
	{0, "\x28\xb5\x2f\xfd", 4, "zstd data"},
	{0, "7z\xbc\xaf\x27\x1c", 6, "a 7z archive"},
	{257, "ustar", 5, "a tar archive"},
	{0, "\x80\2", 2, "a PyTorch pickle"},
	{0, "\x80\3", 2, "a PyTorch pickle"},
	{0, "\x80\4", 2, "a PyTorch pickle"},
	{0, "\x80\5", 2, "a PyTorch pickle"},
	{0, "\x93NUMPY", 6, "a NumPy array"},
	{0, "\x89HDF\r\n\x1a\n", 8, "an HDF5 file"},
	{4, "TFL3", 4, "a TensorFlow Lite model"},
	{0,
	 "\x7f"
	 "ELF",
	 4, "an executable program"},
	{0, "%PDF", 4, "a PDF document"},
	{0, "\xff\xfe", 2, "UTF-16 text"},
	{0, "\xfe\xff", 2, "UTF-16 text"},
};

/* What to say of text: markup, JSON; NULL for anything else. */
static const char *text_looks_like(const char *text, size_t size)
{
	size_t bom = size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
	const char *at = text + bom;
	size_t left = size - bom;

	while (left && memchr(" \t\r\n", *at, 4))
		at++, left--;
	if (left >= 9 && !strncasecmp(at, "<!doctype", 9))
		return "an HTML page";
	if (left >= 5 && !strncasecmp(at, "<html", 5))
		return "an HTML page";
	if (left >= 5 && !strncasecmp(at, "<?xml", 5))
		return "an XML document";
	if (left >= 2 && at[0] == '<' &&
	    (at[1] == '!' || ((at[1] | 32) >= 'a' && (at[1] | 32) <= 'z')))
		return "an HTML or XML document";
	if (left && (*at == '{' || *at == '['))
		return "JSON text";
	return NULL;
}

const char *qc_file_looks_like(const void *head, size_t size)
{
	const uint8_t *bytes = head;
	size_t zeros = 0;

	if (!size)
		return "empty";
	for (size_t i = 0; i < sizeof(magics) / sizeof(magics[0]); i++) {
		const struct magic *m = &magics[i];

		if (size >= m->at + m->n && !memcmp(bytes + m->at, m->bytes, m->n))
			return m->name;
	}
	while (zeros < size && !bytes[zeros])
		zeros++;
	if (zeros == size)
		return "all zero bytes";
	/* a header length below its limit of 100 MB, then JSON */
	if (size > 8 && bytes[8] == '{' && qc_le64(bytes) <= 100000000)
		return "a safetensors file";
	return text_looks_like(head, size);
}
