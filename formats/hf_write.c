/*
 * A Hugging Face directory: planning its .safetensors files and their index.
 *
 * Tensors go into shards as transformers' save_pretrained puts them there (huggingface_hub,
 * serialization/_base.py): in the order of the model's modules, each into the current shard while
 * that stays within the size, else into a new one; one that is too large alone gets a shard of its
 * own. The module order is not stored anywhere, so it is made from the names: embeddings, blocks by
 * number, what follows them; inside a block attention, feed-forward, norms.
 */
#include "formats/hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "formats/safetensors.h"

/* Where a component of a name stands among its neighbours: later in the list is later in the model;
 * what is not listed stands between. The first part found in the name decides. */
static const struct {
	const char *part;
	int rank;
} places[] = {
	{"q_norm", 5},	      {"k_norm", 6},	{"v_norm", 7},	      {"norm", 60},
	{"layer_scalar", 70}, {"embed", -20},	{"wte", -20},	      {"wpe", -19},
	{"lm_head", 90},      {"score", 90},	{"sinks", 8},	      {"self_attn", 10},
	{"attention", 10},    {"attn", 10},	{"q_proj", 1},	      {"k_proj", 2},
	{"v_proj", 3},	      {"o_proj", 4},	{"router", 0},	      {"experts", 2},
	{"gate_up_proj", 1},  {"gate_proj", 1}, {"up_proj", 2},	      {"down_proj", 3},
	{"gate", 0},	      {"mlp", 20},	{"feed_forward", 20},
};

static int place_of(const char *component, size_t len)
{
	if (len == 6 && !memcmp(component, "weight", 6))
		return -30; /* before the bias, and what a quantized weight has besides */
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (memmem(component, len, places[i].part, strlen(places[i].part)))
			return places[i].rank;
	return 15;
}

static bool is_number(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] < '0' || text[i] > '9')
			return false;
	return len > 0 && len < 10;
}

/* By place, then numbers by value, then other names. */
static int compare_components(const char *a, size_t len_a, const char *b, size_t len_b)
{
	int place_a = place_of(a, len_a), place_b = place_of(b, len_b), order;
	bool number_a = is_number(a, len_a), number_b = is_number(b, len_b);

	if (place_a != place_b)
		return place_a < place_b ? -1 : 1;
	if (number_a && number_b) {
		long x = strtol(a, NULL, 10), y = strtol(b, NULL, 10);

		return x < y ? -1 : x > y;
	}
	if (number_a != number_b)
		return number_a ? -1 : 1;
	order = memcmp(a, b, len_a < len_b ? len_a : len_b);
	return order ? order : len_a < len_b ? -1 : len_a > len_b;
}

int qc_hf_name_order(const char *a, const char *b)
{
	const char *whole_a = a, *whole_b = b;

	while (*a && *b) {
		size_t len_a = strcspn(a, "."), len_b = strcspn(b, ".");

		if (len_a != len_b || memcmp(a, b, len_a)) {
			int order = compare_components(a, len_a, b, len_b);

			return order ? order : strcmp(whole_a, whole_b);
		}
		a += len_a + (a[len_a] != 0);
		b += len_b + (b[len_b] != 0);
	}
	return *a ? 1 : *b ? -1 : 0;
}

/* The files that tensors are put into. */
struct shards {
	struct qc_out_tensor *tensors;
	size_t n;
	uint64_t limit, total;
	uint32_t n_shards;
};

static enum qc_status assign(struct shards *shards, struct qc_err *err)
{
	uint64_t current = 0;
	bool open = false;
	uint32_t open_shard = 0;

	for (size_t i = 0; i < shards->n; i++) {
		struct qc_out_tensor *tensor = &shards->tensors[i];
		uint64_t sum;

		if (!qc_add(shards->total, tensor->bytes, &shards->total))
			return qc_fail(err, QC_UNSUPPORTED,
				       "the output would be larger than 2^64 bytes");
		if (tensor->bytes > shards->limit) {
			tensor->file = shards->n_shards++;
			continue;
		}
		if (open && (!qc_add(current, tensor->bytes, &sum) || sum > shards->limit))
			open = false;
		if (!open) {
			open = true;
			open_shard = shards->n_shards++;
			current = 0;
		}
		tensor->file = open_shard;
		current += tensor->bytes;
	}
	if (!shards->n_shards)
		shards->n_shards = 1;
	return QC_OK;
}

static enum qc_status name_shard(struct qc_out_file *file, uint32_t number, uint32_t n,
				 struct qc_err *err)
{
	char name[64] = "model.safetensors";

	if (n > 1)
		snprintf(name, sizeof(name), "model-%05u-of-%05u.safetensors", number + 1, n);
	file->name = strdup(name);
	return file->name ? QC_OK : qc_no_memory(err);
}

/* Lay out every shard; the tensors' own order is left alone. */
static enum qc_status lay_out_shards(const struct shards *shards, struct qc_out *out,
				     struct qc_err *err)
{
	struct qc_out_tensor **list = malloc((shards->n + 1) * sizeof(*list));
	size_t *first = calloc((size_t)shards->n_shards + 2, sizeof(*first));
	enum qc_status s = list && first ? QC_OK : qc_no_memory(err);

	for (size_t i = 0; !s && i < shards->n; i++)
		first[shards->tensors[i].file + 2]++;
	for (uint32_t f = 0; !s && f < shards->n_shards; f++)
		first[f + 2] += first[f + 1];
	for (size_t i = 0; !s && i < shards->n; i++)
		list[first[shards->tensors[i].file + 1]++] = &shards->tensors[i];
	for (uint32_t f = 0; !s && f < shards->n_shards; f++) {
		struct qc_out_file *file = qc_out_add(out);

		s = file ? name_shard(file, f, shards->n_shards, err) : qc_no_memory(err);
		if (!s)
			s = qc_safetensors_layout(list + first[f], first[f + 1] - first[f], file,
						  err);
		if (!s && !qc_add(out->total_bytes, file->total_bytes, &out->total_bytes))
			s = qc_fail(err, QC_UNSUPPORTED,
				    "the output would be larger than 2^64 bytes");
	}
	free(first);
	free(list);
	return s;
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(const struct qc_out_tensor *const *)a)->name,
		      (*(const struct qc_out_tensor *const *)b)->name);
}

static void put_index(FILE *text, const struct shards *shards, const struct qc_out *out,
		      const struct qc_out_tensor *const *sorted)
{
	fprintf(text, "{\n  \"metadata\": {\n    \"total_size\": %llu\n  },\n  \"weight_map\": {",
		(unsigned long long)shards->total);
	for (size_t i = 0; i < shards->n; i++) {
		fputs(i ? ",\n    " : "\n    ", text);
		qc_json_print_string(text, sorted[i]->name, strlen(sorted[i]->name));
		fprintf(text, ": \"%s\"", out->files[sorted[i]->file].name);
	}
	fputs("\n  }\n}\n", text);
}

static enum qc_status add_index(const struct shards *shards, struct qc_out *out, struct qc_err *err)
{
	const struct qc_out_tensor **sorted = malloc((shards->n + 1) * sizeof(*sorted));
	struct qc_out_file *file = qc_out_add(out);
	char *header = NULL;
	FILE *text = sorted && file ? open_memstream(&header, &file->header_bytes) : NULL;
	bool failed;

	if (!text) {
		free(sorted);
		return qc_no_memory(err);
	}
	for (size_t i = 0; i < shards->n; i++)
		sorted[i] = &shards->tensors[i];
	qsort(sorted, shards->n, sizeof(*sorted), by_name);
	put_index(text, shards, out, sorted);
	free(sorted);
	failed = ferror(text);
	failed = fclose(text) || failed || !header;
	file->header = (uint8_t *)header;
	file->name = strdup("model.safetensors.index.json");
	if (failed || !file->name)
		return qc_no_memory(err);
	file->total_bytes = file->header_bytes;
	out->total_bytes += file->total_bytes;
	return QC_OK;
}

enum qc_status qc_hf_layout(struct qc_out_tensor *tensors, size_t n,
			    const struct qc_layout_wish *wish, struct qc_out *out,
			    struct qc_err *err)
{
	struct shards shards = {.tensors = tensors, .n = n, .limit = wish->shard_bytes};
	enum qc_status s;

	if (!shards.limit)
		shards.limit = QC_HF_SHARD_BYTES;
	s = qc_safetensors_check_names(tensors, n, err);
	if (!s)
		s = assign(&shards, err);
	if (!s)
		s = lay_out_shards(&shards, out, err);
	if (!s && shards.n_shards > 1)
		s = add_index(&shards, out, err);
	return s;
}
