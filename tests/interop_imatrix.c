/*
 * Importance matrices in llama-quantize's own loader: interop_imatrix LIBDIR FILE...
 *
 * The loader is common_imatrix_load(const std::string &, common_imatrix &) of libllama-common, as
 * the pinned package has it. Its arguments are laid out here as libstdc++ has them on x86-64; what
 * it fills is only read, and stays in memory to the end.
 */
#include <dlfcn.h>

#include "calib/imatrix.h"
#include "tests/test.h"

#define LOADER                                                                                     \
	"_Z19common_imatrix_loadRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER14common_"  \
	"imatrix"

struct cxx_string {
	char *data;
	size_t len;
	char local[16];
};

struct cxx_vector {
	const void *begin, *end, *room;
};

/* Of std::map<std::string, entry>, the entry being vectors of float sums and of int64_t counts. */
struct cxx_node {
	int color;
	struct cxx_node *parent, *left, *right;
	struct cxx_string key;
	struct cxx_vector sums, counts;
};

struct loaded {
	void *compare;
	struct {
		int color;
		struct cxx_node *root, *first, *last;
	} header;
	size_t n;
	struct cxx_vector datasets;
	int32_t chunk_count, chunk_size;
	char rest[512]; /* and what other versions have */
};

typedef bool load_fn(const struct cxx_string *path, struct loaded *loaded);

static load_fn *open_loader(const char *dir)
{
	char path[4096];
	void *handle, *symbol;
	load_fn *load;

	snprintf(path, sizeof(path), "%s/libllama-common.so", dir);
	handle = dlopen(path, RTLD_NOW);
	NEED(handle, "%s", dlerror());
	symbol = dlsym(handle, LOADER);
	NEED(symbol, "%s has no common_imatrix_load", path);
	memcpy(&load, &symbol, sizeof(load)); /* ISO C has no cast to a function pointer */
	return load;
}

static size_t vector_bytes(const struct cxx_vector *v)
{
	return (size_t)((const char *)v->end - (const char *)v->begin);
}

static void same_entry(const char *path, const struct qc_imatrix *im, const struct cxx_node *node)
{
	const struct qc_imatrix_entry *e = qc_imatrix_find(im, node->key.data);
	const int64_t *counts = node->counts.begin;

	NEED(e, "%s: libllama has '%s'", path, node->key.data);
	NEED(vector_bytes(&node->sums) == e->n * e->cols * sizeof(float) &&
		     vector_bytes(&node->counts) == e->n * sizeof(int64_t),
	     "%s: %s: %zu bytes of sums, %zu of counts", path, e->name, vector_bytes(&node->sums),
	     vector_bytes(&node->counts));
	CHECK(!memcmp(node->sums.begin, e->sums, vector_bytes(&node->sums)), "%s: %s: sums differ",
	      path, e->name);
	for (uint64_t i = 0; i < e->n; i++)
		CHECK((float)counts[i] == e->counts[i], "%s: %s: count %lld, %g here", path,
		      e->name, (long long)counts[i], (double)e->counts[i]);
}

static void visit(const char *path, const struct qc_imatrix *im, const struct cxx_node *node)
{
	if (!node)
		return;
	visit(path, im, node->left);
	same_entry(path, im, node);
	visit(path, im, node->right);
}

static void loads_what_we_read(load_fn *load, char *path)
{
	const struct cxx_string name = {.data = path, .len = strlen(path)};
	struct loaded loaded = {0};
	struct qc_imatrix im = {0};
	struct qc_err err = {0};

	loaded.header.first = loaded.header.last = (struct cxx_node *)(void *)&loaded.header;
	NEED(!qc_imatrix_read(&im, path, &err), "%s", err.text);
	NEED(load(&name, &loaded), "libllama does not load %s", path);
	CHECK(loaded.n == im.n_entries, "%s: libllama has %zu entries, %zu are there", path,
	      loaded.n, im.n_entries);
	CHECK(loaded.chunk_count == (int32_t)im.n_chunks &&
		      loaded.chunk_size == (int32_t)im.chunk_size,
	      "%s: libllama has %d chunks of %d, there are %u of %u", path, loaded.chunk_count,
	      loaded.chunk_size, im.n_chunks, im.chunk_size);
	CHECK(vector_bytes(&loaded.datasets) == im.n_datasets * sizeof(struct cxx_string),
	      "%s: libllama has %zu datasets, there are %zu", path,
	      vector_bytes(&loaded.datasets) / sizeof(struct cxx_string), im.n_datasets);
	visit(path, &im, loaded.header.root);
	printf("%s: %zu entries in libllama's loader\n", path, loaded.n);
	qc_imatrix_clear(&im);
}

int main(int argc, char **argv)
{
	load_fn *load;

	NEED(argc > 2, "usage: interop_imatrix LIBDIR FILE...");
	load = open_loader(argv[1]);
	for (int i = 2; i < argc; i++)
		loads_what_we_read(load, argv[i]);
	return test_end();
}
