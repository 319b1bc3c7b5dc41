/*
 * qconv's split sets against the headers that libggml makes of the same tensors: interop_split
 * LIBDIR WHOLE.gguf PREFIX MAX_BYTES MAX_TENSORS
 *
 * Builds each file's header with libggml's gguf_set_kv, gguf_set_val_* and gguf_add_tensor in
 * llama-gguf-split's order, and compares the bytes with those of PREFIX-00001-of-0000N.gguf and so
 * on, which `qconv split WHOLE PREFIX` has made with the same limits (0: no limit).
 */
#include <dlfcn.h>
#include <stdint.h>

#include "tests/test.h"

struct gguf_context;
struct ggml_context;
struct ggml_tensor;

struct gguf_init_params {
	bool no_alloc;
	struct ggml_context **ctx;
};

static struct {
	struct gguf_context *(*from_file)(const char *path, struct gguf_init_params params);
	struct gguf_context *(*empty)(void);
	void (*free)(struct gguf_context *ctx);
	void (*set_kv)(struct gguf_context *ctx, const struct gguf_context *from);
	void (*set_u16)(struct gguf_context *ctx, const char *key, uint16_t value);
	void (*set_i32)(struct gguf_context *ctx, const char *key, int32_t value);
	int64_t (*n_tensors)(const struct gguf_context *ctx);
	const char *(*tensor_name)(const struct gguf_context *ctx, int64_t i);
	size_t (*tensor_size)(const struct gguf_context *ctx, int64_t i);
	void (*add_tensor)(struct gguf_context *ctx, const struct ggml_tensor *tensor);
	size_t (*meta_size)(const struct gguf_context *ctx);
	void (*meta_data)(const struct gguf_context *ctx, void *out);
	struct ggml_tensor *(*get_tensor)(struct ggml_context *ctx, const char *name);
} ggml;

static void open_library(const char *dir)
{
	const struct {
		const char *name;
		void *slot;
	} symbols[] = {
		{"gguf_init_from_file", &ggml.from_file},
		{"gguf_init_empty", &ggml.empty},
		{"gguf_free", &ggml.free},
		{"gguf_set_kv", &ggml.set_kv},
		{"gguf_set_val_u16", &ggml.set_u16},
		{"gguf_set_val_i32", &ggml.set_i32},
		{"gguf_get_n_tensors", &ggml.n_tensors},
		{"gguf_get_tensor_name", &ggml.tensor_name},
		{"gguf_get_tensor_size", &ggml.tensor_size},
		{"gguf_add_tensor", &ggml.add_tensor},
		{"gguf_get_meta_size", &ggml.meta_size},
		{"gguf_get_meta_data", &ggml.meta_data},
		{"ggml_get_tensor", &ggml.get_tensor},
	};
	char path[4096];
	void *handle;

	snprintf(path, sizeof(path), "%s/libggml-base.so", dir);
	handle = dlopen(path, RTLD_NOW);
	NEED(handle, "%s", dlerror());
	for (size_t i = 0; i < sizeof(symbols) / sizeof(*symbols); i++) {
		void *symbol = dlsym(handle, symbols[i].name);

		NEED(symbol, "%s", dlerror());
		memcpy(symbols[i].slot, &symbol, sizeof(symbol));
	}
}

static struct gguf_context *new_file(const struct gguf_context *whole, unsigned no)
{
	struct gguf_context *file = ggml.empty();

	NEED(file, "no memory");
	if (!no)
		ggml.set_kv(file, whole);
	ggml.set_u16(file, "split.no", (uint16_t)no);
	ggml.set_u16(file, "split.count", 0);
	ggml.set_i32(file, "split.tensors.count", (int32_t)ggml.n_tensors(whole));
	return file;
}

static void compare(struct gguf_context *file, const char *prefix, unsigned no, unsigned count)
{
	size_t size, header = (ggml.meta_size(file) + 31) / 32 * 32;
	char path[4096], *ours, *theirs = calloc(1, header);

	NEED(theirs, "no memory");
	ggml.set_u16(file, "split.count", (uint16_t)count);
	ggml.meta_data(file, theirs);
	snprintf(path, sizeof(path), "%s-%05u-of-%05u.gguf", prefix, no + 1, count);
	ours = test_load(path, &size);
	CHECK(size >= header && !memcmp(ours, theirs, header),
	      "%s: the header is not libggml's (%zu bytes)", path, header);
	free(ours);
	free(theirs);
}

int main(int argc, char **argv)
{
	struct ggml_context *tensors = NULL;
	struct gguf_context *whole, *files[256];
	unsigned count = 0;
	uint64_t max_bytes, max_tensors, bytes = 0;

	NEED(argc == 6, "usage: interop_split LIBDIR WHOLE PREFIX MAX_BYTES MAX_TENSORS");
	open_library(argv[1]);
	max_bytes = strtoull(argv[4], NULL, 10);
	max_tensors = strtoull(argv[5], NULL, 10);
	whole = ggml.from_file(argv[2], (struct gguf_init_params){true, &tensors});
	NEED(whole, "libggml does not read %s", argv[2]);
	files[count++] = new_file(whole, 0);
	for (int64_t i = 0; i < ggml.n_tensors(whole); i++) {
		uint64_t padded = (ggml.tensor_size(whole, i) + 31) / 32 * 32;

		if ((max_bytes && bytes + padded > max_bytes) ||
		    (max_tensors && i && i % (int64_t)max_tensors == 0)) {
			NEED(count < 256, "too many files");
			files[count] = new_file(whole, count);
			count++;
			bytes = 0;
		}
		bytes += padded;
		ggml.add_tensor(files[count - 1],
				ggml.get_tensor(tensors, ggml.tensor_name(whole, i)));
	}
	for (unsigned no = 0; no < count; no++) {
		compare(files[no], argv[3], no, count);
		ggml.free(files[no]);
	}
	return test_end();
}
