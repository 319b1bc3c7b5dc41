/* bitsandbytes 4-bit weights for tests: what is stored of one, written into a file, and decoded
 * element by element from the formula. */
#ifndef QC_TESTS_BNB_WEIGHT_H
#define QC_TESTS_BNB_WEIGHT_H

#include "tests/st_build.h"

#define BNB_GOLDEN "tests/data/golden/bnb/"

struct bnb_weight {
	const char *type; /* "nf4", "fp4" */
	const char *dtype;
	const char *shape; /* JSON */
	size_t elems, block;
	size_t group; /* blocks; 0: absmax is plain */
	float offset;
	uint8_t *codes;	       /* (elems + 1) / 2 */
	float *absmax;	       /* plain */
	uint8_t *absmax_codes; /* nested */
	float *nested_absmax;  /* nested */
	float map[16], map8[256];
};

static inline size_t bnb_blocks(const struct bnb_weight *w)
{
	return (w->elems + w->block - 1) / w->block;
}

static inline size_t bnb_groups(const struct bnb_weight *w)
{
	return (bnb_blocks(w) + w->group - 1) / w->group;
}

/* A file of floats (malloc). */
static inline float *bnb_floats(const char *path, size_t *n)
{
	size_t size;
	char *bytes = test_load(path, &size);
	float *values = malloc(size + 1);

	NEED(values, "no memory");
	for (size_t i = 0; i < size / 4; i++)
		values[i] = qc_bits_f32(qc_le32(bytes + 4 * i));
	free(bytes);
	if (n)
		*n = size / 4;
	return values;
}

static inline void bnb_maps(struct bnb_weight *w)
{
	char path[128];
	float *map, *map8;

	snprintf(path, sizeof(path), BNB_GOLDEN "%s_map.f32", w->type);
	map = bnb_floats(path, NULL);
	map8 = bnb_floats(BNB_GOLDEN "dynamic_map.f32", NULL);
	memcpy(w->map, map, sizeof(w->map));
	memcpy(w->map8, map8, sizeof(w->map8));
	free(map);
	free(map8);
}

/* A weight of deterministic noise. */
static inline struct bnb_weight bnb_random(const char *type, const char *shape, size_t elems,
					   size_t block, size_t group)
{
	struct bnb_weight w = {.type = type,
			       .dtype = "bfloat16",
			       .shape = shape,
			       .elems = elems,
			       .block = block,
			       .group = group,
			       .offset = 0.04210526f};
	uint64_t state = elems * 31 + block * 7 + group;
	size_t n = bnb_blocks(&w);

	w.codes = malloc(elems / 2 + 1);
	w.absmax = malloc(n * sizeof(float));
	w.absmax_codes = malloc(n);
	w.nested_absmax = malloc(n * sizeof(float));
	NEED(w.codes && w.absmax && w.absmax_codes && w.nested_absmax, "no memory");
	for (size_t i = 0; i < elems / 2 + 1; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		w.codes[i] = (uint8_t)(state >> 56);
	}
	for (size_t i = 0; i < n; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		w.absmax[i] = (float)(state >> 40) * 0x1p-24f;
		w.absmax_codes[i] = (uint8_t)(state >> 32);
		w.nested_absmax[i] = (float)(state >> 42) * 0x1p-23f;
	}
	bnb_maps(&w);
	return w;
}

static inline void bnb_free(struct bnb_weight *w)
{
	free(w->codes);
	free(w->absmax);
	free(w->absmax_codes);
	free(w->nested_absmax);
	*w = (struct bnb_weight){0};
}

static inline float bnb_scale(const struct bnb_weight *w, size_t block)
{
	float scaled;

	if (!w->group)
		return w->absmax[block];
	scaled = w->map8[w->absmax_codes[block]] * w->nested_absmax[block / w->group];
	return scaled + w->offset;
}

/* The definition, one element at a time. */
static inline float bnb_element(const struct bnb_weight *w, size_t i)
{
	unsigned code = i % 2 ? w->codes[i / 2] & 15 : w->codes[i / 2] >> 4;
	float unit = code == 8 && w->map[8] == 0 ? -0.0f : w->map[code]; /* fp4's second zero */

	return unit * bnb_scale(w, i / w->block);
}

/* The text of the quant_state. */
static inline char *bnb_json(const struct bnb_weight *w, char *buf, size_t size)
{
	int n = snprintf(buf, size,
			 "{\"quant_type\": \"%s\", \"blocksize\": %zu, \"dtype\": \"%s\", "
			 "\"shape\": %s",
			 w->type, w->block, w->dtype, w->shape);

	if (w->group)
		n += snprintf(buf + n, size - (size_t)n,
			      ", \"nested_blocksize\": %zu, \"nested_dtype\": \"float32\", "
			      "\"nested_offset\": %.17g",
			      w->group, (double)w->offset);
	snprintf(buf + n, size - (size_t)n, "}");
	return buf;
}

/* "w" + suffix */
static inline const char *bnb_name(const char *name, const char *suffix)
{
	static char buf[256];

	snprintf(buf, sizeof(buf), "%s%s", name, suffix);
	return buf;
}

/* The companions of the weight, with this text for a quant_state; not the codes. */
static inline void bnb_add_companions(struct st_build *b, const char *name,
				      const struct bnb_weight *w, const char *json)
{
	char suffix[64];

	if (w->group) {
		st_add_u8(b, bnb_name(name, ".absmax"), w->absmax_codes, bnb_blocks(w));
		st_add_f32(b, bnb_name(name, ".nested_absmax"), w->nested_absmax, bnb_groups(w));
		st_add_f32(b, bnb_name(name, ".nested_quant_map"), w->map8, 256);
	} else {
		st_add_f32(b, bnb_name(name, ".absmax"), w->absmax, bnb_blocks(w));
	}
	st_add_f32(b, bnb_name(name, ".quant_map"), w->map, 16);
	snprintf(suffix, sizeof(suffix), ".quant_state.bitsandbytes__%s", w->type);
	st_add_u8(b, bnb_name(name, suffix), json, strlen(json));
}

/* The codes as `dtype`, whose elements have `width` bytes. */
static inline void bnb_add_codes(struct st_build *b, const char *name, const struct bnb_weight *w,
				 const char *dtype, size_t width)
{
	size_t n = ((w->elems + 1) / 2 + width - 1) / width;
	uint8_t *bytes = calloc(n, width);
	char shape[48];

	NEED(bytes, "no memory");
	memcpy(bytes, w->codes, (w->elems + 1) / 2);
	snprintf(shape, sizeof(shape), "[%zu,1]", n);
	st_add(b, name, dtype, shape, bytes, n * width);
	free(bytes);
}

/* All of it. */
static inline void bnb_add(struct st_build *b, const char *name, const struct bnb_weight *w)
{
	char json[512];

	bnb_add_codes(b, name, w, "U8", 1);
	bnb_add_companions(b, name, w, bnb_json(w, json, sizeof(json)));
}

#endif
