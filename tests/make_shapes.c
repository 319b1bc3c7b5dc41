/*
 * Makes a checkpoint with a published model's tensors, without its numbers: make_shapes TENSORS DIR
 * [fill]
 *
 * TENSORS is text, a tensor a line: LAYERS DTYPE SHAPE NAME. LAYERS is "-", or "first:last:step"
 * parts with commas, and {} in NAME is the layer. SHAPE is "2048x2560", or "scalar". DTYPE is
 * safetensors', or NF4 for the six tensors that bitsandbytes makes of a matrix (double
 * quantization). "shards FIRST LAST BYTES" before them cuts as transformers does, into
 * model-FIRST-of-LAST ... with an index; "file NAME" is one file of that name. Files are sparse:
 * their data are zeros that take no disk, but for the small tensors that NF4 needs; "fill" writes
 * numbers like those of trained weights everywhere.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "quant/bnb.h"
#include "tests/create.h"
#include "tests/test.h"

enum { MAX_TENSORS = 20000, PATTERN = 1 << 20 };

struct entry {
	char name[240], dtype[8], shape[80]; /* shape as JSON */
	uint64_t bytes, offset;
	long order; /* by layer, then line */
	int shard;
	const void *data; /* malloc; NULL: zeros, or a pattern */
};

static struct entry *entries;
static int n_entries, first_shard, last_shard;
static uint64_t shard_bytes = UINT64_MAX;
static char file_name[160] = "model.safetensors";

static int dtype_bytes(const char *dtype)
{
	static const struct {
		const char *name;
		int bytes;
	} known[] = {{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"U8", 1}, {"F8_E4M3", 1}};

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (!strcmp(dtype, known[i].name))
			return known[i].bytes;
	NEED(false, "dtype '%s'?", dtype);
	return 0;
}

/* "2048x2560" as "2048,2560"; the number of elements. */
static uint64_t parse_shape(const char *text, char *json, size_t room)
{
	uint64_t n = 1;
	size_t len = 0;
	char *end;

	*json = 0;
	if (!strcmp(text, "scalar"))
		return 1;
	for (;; text = end + 1) {
		uint64_t dim = strtoull(text, &end, 10);

		NEED(dim && (*end == 'x' || !*end), "shape '%s'?", text);
		len += (size_t)snprintf(json + len, room - len, "%s%" PRIu64, len ? "," : "", dim);
		NEED(len < room, "shape '%s' is long", text);
		n *= dim;
		if (!*end)
			return n;
	}
}

static struct entry *add(const char *name, const char *suffix, const char *dtype, const char *shape,
			 long order)
{
	struct entry *e = &entries[n_entries];

	NEED(n_entries++ < MAX_TENSORS, "too many tensors");
	NEED(strlen(name) + strlen(suffix) < sizeof(e->name) && strlen(dtype) < sizeof(e->dtype),
	     "%s: long", name);
	snprintf(e->name, sizeof(e->name), "%.159s%.60s", name, suffix);
	snprintf(e->dtype, sizeof(e->dtype), "%s", dtype);
	e->bytes = parse_shape(shape, e->shape, sizeof(e->shape)) * (uint64_t)dtype_bytes(dtype);
	e->order = order;
	return e;
}

static void add_numbers(const char *name, const char *suffix, const float *numbers, int n,
			long order)
{
	char shape[16];
	uint8_t *bytes = malloc(4 * (size_t)n);

	NEED(bytes, "no memory");
	for (int i = 0; i < n; i++)
		qc_put_le32(bytes + 4 * i, qc_f32_bits(numbers[i]));
	snprintf(shape, sizeof(shape), "%d", n);
	add(name, suffix, "F32", shape, order)->data = bytes;
}

/* What bitsandbytes stores of one matrix: blocks of 64, their scales in blocks of 256. */
static void add_nf4(const char *name, const char *shape, long order)
{
	char dims[80], text[48], state[512];
	uint64_t n = parse_shape(shape, dims, sizeof(dims)), blocks = (n + 63) / 64,
		 groups = (blocks + 255) / 256;
	float *nested = malloc(4 * groups);

	NEED(nested, "no memory");
	snprintf(text, sizeof(text), "%" PRIu64 "x1", (n + 1) / 2);
	add(name, "", "U8", text, order);
	snprintf(text, sizeof(text), "%" PRIu64, blocks);
	add(name, ".absmax", "U8", text, order);
	add_numbers(name, ".quant_map", qc_bnb_nf4.map, 16, order);
	add_numbers(name, ".nested_quant_map", qc_bnb_dynamic_map, 256, order);
	for (uint64_t i = 0; i < groups; i++)
		nested[i] = 0.0625f;
	add_numbers(name, ".nested_absmax", nested, (int)groups, order);
	free(nested);
	snprintf(state, sizeof(state),
		 "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"bfloat16\", \"shape\": "
		 "[%s], \"nested_blocksize\": 256, \"nested_dtype\": \"float32\", "
		 "\"nested_offset\": 0.0390625}",
		 dims);
	snprintf(text, sizeof(text), "%zu", strlen(state));
	add(name, ".quant_state.bitsandbytes__nf4", "U8", text, order)->data = strdup(state);
}

static void add_line(const char *dtype, const char *shape, const char *name, long layer, long line)
{
	const char *mark = strstr(name, "{}");
	long order = (layer + 1) * 1000 + line;
	char full[160];

	NEED(layer < 0 || mark, "%s: no {}", name);
	if (mark)
		snprintf(full, sizeof(full), "%.*s%ld%s", (int)(mark - name), name, layer,
			 mark + 2);
	else
		snprintf(full, sizeof(full), "%s", name);
	if (!strcmp(dtype, "NF4"))
		add_nf4(full, shape, order);
	else
		add(full, "", dtype, shape, order);
}

static void read_tensors(const char *path)
{
	char *text = test_load(path, NULL), *rest = text, *line;
	char layers[160], dtype[8], shape[64], name[160];

	for (long number = 1; (line = strsep(&rest, "\n")); number++) {
		if (!*line || *line == '#' || sscanf(line, "file %159s", file_name) == 1 ||
		    sscanf(line, "shards %d %d %" SCNu64, &first_shard, &last_shard,
			   &shard_bytes) == 3)
			continue;
		NEED(sscanf(line, "%159s %7s %63s %159s", layers, dtype, shape, name) == 4,
		     "%s: line %ld: '%s'?", path, number, line);
		if (!strcmp(layers, "-")) {
			add_line(dtype, shape, name, -1, number);
			continue;
		}
		for (char *parts = layers, *part; (part = strsep(&parts, ","));) {
			int from, to, step = 1;

			NEED(sscanf(part, "%d:%d:%d", &from, &to, &step) >= 2 && step > 0,
			     "%s: line %ld: layers '%s'?", path, number, part);
			for (int i = from; i <= to; i += step)
				add_line(dtype, shape, name, i, number);
		}
	}
	free(text);
}

static int by_order(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return x->order != y->order ? (x->order > y->order) - (x->order < y->order)
				    : strcmp(x->name, y->name);
}

/* The order within a file that the safetensors library writes. */
static int by_file(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int wide = dtype_bytes(y->dtype) - dtype_bytes(x->dtype);

	return x->shard != y->shard ? x->shard - y->shard : wide ? wide : strcmp(x->name, y->name);
}

static void place(void)
{
	uint64_t used = 0;
	int shard = 0;

	qsort(entries, (size_t)n_entries, sizeof(*entries), by_order);
	for (int i = 0; i < n_entries; i++) {
		if (used && used + entries[i].bytes > shard_bytes) {
			shard++;
			used = 0;
		}
		used += entries[i].bytes;
		entries[i].shard = shard;
	}
	NEED(shard_bytes == UINT64_MAX || shard == last_shard - first_shard,
	     "%d shards are needed, %d to %d are given", shard + 1, first_shard, last_shard);
	qsort(entries, (size_t)n_entries, sizeof(*entries), by_file);
}

static uint64_t next(uint64_t *state)
{
	uint64_t z = *state += 0x9E3779B97F4A7C15;

	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
	z = (z ^ z >> 27) * 0x94D049BB133111EB;
	return z ^ z >> 31;
}

/* A pattern of numbers that look trained: sums of uniform ones for floats, any codes, exponents
 * about 2^-7 for the scales of MXFP4. */
static void make_pattern(const char *dtype, bool scales, uint8_t *pattern)
{
	int width = dtype_bytes(dtype);
	uint64_t state = 1;

	for (int i = 0; i < PATTERN; i += width) {
		uint64_t z = next(&state);
		int sum =
			(int)((z & 0xffff) + (z >> 16 & 0xffff) + (z >> 32 & 0xffff) + (z >> 48)) -
			131070;
		uint32_t bits = qc_f32_bits((float)sum * 0x1p-21f);

		if (width == 4)
			qc_put_le32(pattern + i, bits);
		else if (width == 2)
			qc_put_le16(pattern + i, (uint16_t)(bits >> 16));
		else
			pattern[i] = (uint8_t)(scales ? 117 + (z & 7) : z & 0xff);
	}
}

static void write_data(FILE *f, const struct entry *e, bool fill)
{
	static uint8_t *pattern;
	static char made[16];
	bool scales = strstr(e->name, "_scales") != NULL;
	char wanted[16];

	if (e->data) {
		NEED(fwrite(e->data, 1, e->bytes, f) == e->bytes, "cannot write %s", e->name);
		return;
	}
	if (!fill) {
		NEED(!fseeko(f, (off_t)e->bytes, SEEK_CUR), "cannot seek");
		return;
	}
	pattern = pattern ? pattern : malloc(PATTERN);
	NEED(pattern, "no memory");
	snprintf(wanted, sizeof(wanted), "%s%d", e->dtype, scales);
	if (strcmp(made, wanted))
		make_pattern(e->dtype, scales, pattern);
	snprintf(made, sizeof(made), "%s", wanted);
	for (uint64_t left = e->bytes, n; left; left -= n) {
		n = left < PATTERN ? left : PATTERN;
		NEED(fwrite(pattern, 1, n, f) == n, "cannot write %s", e->name);
	}
}

static void shard_name(int shard, char *name, size_t size)
{
	if (shard_bytes == UINT64_MAX)
		snprintf(name, size, "%s", file_name);
	else
		snprintf(name, size, "model-%05d-of-%05d.safetensors", first_shard + shard,
			 last_shard);
}

/* The tensors entries[from..to) in one file. */
static void write_shard(const char *dir, int from, int to, bool fill)
{
	size_t room = (size_t)(to - from) * 400 + 100, len = 0;
	char *header = malloc(room), name[200];
	uint64_t offset = 0;
	uint8_t size[8];
	FILE *f;

	NEED(header, "no memory");
	len += (size_t)snprintf(header, room, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (int i = from; i < to; i++) {
		struct entry *e = &entries[i];

		len += (size_t)snprintf(header + len, room - len,
					",\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":"
					"[%" PRIu64 ",%" PRIu64 "]}",
					e->name, e->dtype, e->shape, offset, offset + e->bytes);
		offset += e->bytes;
	}
	header[len++] = '}';
	while (len % 8)
		header[len++] = ' ';
	shard_name(entries[from].shard, name, sizeof(name));
	f = create(dir, name);
	qc_put_le64(size, len);
	NEED(fwrite(size, 1, 8, f) == 8 && fwrite(header, 1, len, f) == len,
	     "cannot write the header");
	for (int i = from; i < to; i++)
		write_data(f, &entries[i], fill);
	NEED(!fflush(f) && !ftruncate(fileno(f), (off_t)(8 + len + offset)) && !fclose(f),
	     "cannot write %s", name);
	free(header);
}

static void write_index(const char *dir)
{
	FILE *f = create(dir, "model.safetensors.index.json");
	uint64_t total = 0;
	char name[200];

	for (int i = 0; i < n_entries; i++)
		total += entries[i].bytes;
	fprintf(f, "{\n  \"metadata\": {\"total_size\": %" PRIu64 "},\n  \"weight_map\": {", total);
	for (int i = 0; i < n_entries; i++) {
		shard_name(entries[i].shard, name, sizeof(name));
		fprintf(f, "%s\n    \"%s\": \"%s\"", i ? "," : "", entries[i].name, name);
	}
	fprintf(f, "\n  }\n}\n");
	NEED(!fclose(f), "cannot write the index");
}

int main(int argc, char **argv)
{
	bool fill = argc == 4 && !strcmp(argv[3], "fill");
	int from = 0;

	NEED(argc == 3 || fill, "usage: make_shapes TENSORS DIR [fill]");
	NEED(!mkdir(argv[2], 0777) || errno == EEXIST, "cannot create %s", argv[2]);
	entries = calloc(MAX_TENSORS, sizeof(*entries));
	NEED(entries, "no memory");
	read_tensors(argv[1]);
	NEED(n_entries, "%s: no tensors", argv[1]);
	place();
	for (int i = 1; i <= n_entries; i++) {
		if (i == n_entries || entries[i].shard != entries[from].shard) {
			write_shard(argv[2], from, i, fill);
			from = i;
		}
	}
	if (shard_bytes != UINT64_MAX)
		write_index(argv[2]);
	printf("%d tensors\n", n_entries);
	return 0;
}
