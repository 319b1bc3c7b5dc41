/* Malformed and odd GGUF files, each with its verdict (tests/data/badfiles/manifest.tsv), and large
 * ones made here. */
#include <time.h>

#include <sys/resource.h>

#include "tests/gguf_build.h"

#define FOLDER "tests/data/badfiles/"

static unsigned n_seen;

static long peak_kib(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_maxrss;
}

/* Read everything in an accepted model and lay it out again. */
static void use_model(const struct qc_model *model, const char *name)
{
	struct qc_out_file out = {0};
	struct qc_out_tensor *again = layout_again(model, &out);

	for (size_t i = 0; i < model->n_tensors; i++) {
		const struct qc_tensor *t = &model->tensors[i];

		CHECK(t->source->rows * t->source->cols == qc_tensor_elems(t), "%s: tensor %zu",
		      name, i);
		free(tensor_bytes(t));
	}
	for (size_t i = 0; i < model->meta.n; i++) {
		const struct qc_kv *kv = &model->meta.kvs[i];
		const char *text;
		size_t at = 0, len;
		uint64_t n = 0;

		while (kv->type == QC_KV_ARRAY && kv->elem == QC_KV_STRING &&
		       qc_kv_next_string(kv, &at, &text, &len))
			n++;
		CHECK(kv->elem != QC_KV_STRING || kv->type != QC_KV_ARRAY || n == kv->n, "%s: '%s'",
		      name, kv->key);
	}
	free(again);
	free(out.header);
}

static void check_text(const char *name, const struct qc_err *err, const char *path)
{
	CHECK(strstr(err->text, path), "%s: '%s' does not name the file", name, err->text);
	for (const char *p = err->text; *p; p++)
		if ((uint8_t)*p < 32 || *p == 127) {
			FAIL_AT("%s: a control character in the message", name);
			break;
		}
}

/* A refusal is due within 100 ms of processor time and 32 MiB. */
static void check_verdict(const char *path, bool accept)
{
	const char *name = strrchr(path, '/') + 1;
	struct qc_model model;
	struct qc_err err = {0};
	long before = peak_kib();
	clock_t start = clock();
	enum qc_status s = qc_model_open_as(&model, &qc_format_gguf, path, &err);
	double ms = (double)(clock() - start) * 1e3 / CLOCKS_PER_SEC;

	n_seen++;
	CHECK(accept == !s, "%s: %s", name, s ? err.text : "accepted");
	CHECK(!s || s == QC_BAD_INPUT || s == QC_UNSUPPORTED, "%s: status %d", name, s);
	if (s)
		check_text(name, &err, path);
	else
		use_model(&model, name);
	qc_model_close(&model);
	if (!accept) {
		CHECK(ms < 100, "%s took %.0f ms", name, ms);
		CHECK(peak_kib() - before < 32 * 1024, "%s took %ld KiB", name,
		      peak_kib() - before);
	}
}

static void every_file_gets_its_verdict(void)
{
	char *text = test_load(FOLDER "manifest.tsv", NULL), *save = NULL, path[256];

	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char file[128], format[32], expect[32];

		NEED(sscanf(line, "%127[^\t]\t%31[^\t]\t%31[^\t]", file, format, expect) == 3,
		     "bad line '%s'", line);
		if (strcmp(format, "gguf"))
			continue;
		snprintf(path, sizeof(path), FOLDER "%s", file);
		check_verdict(path, !strcmp(expect, "accept"));
	}
	CHECK(n_seen > 140, "only %u files", n_seen);
	free(text);
}

static void check_built(const struct build *b, const char *name, bool accept)
{
	char path[] = "/tmp/gguf_badfiles_XXXXXX";
	int fd = mkstemp(path);

	NEED(fd >= 0 && write(fd, b->data, b->n) == (ssize_t)b->n, "cannot write %s", path);
	close(fd);
	check_verdict(path, accept);
	printf("%s: %zu bytes\n", name, b->n);
	unlink(path);
}

static void large_files_get_their_verdicts(void)
{
	struct build b = {0};
	char *big = malloc(1 << 20), name[32];
	uint64_t dim = 8;

	NEED(big, "no memory");
	memset(big, 'x', 1 << 20);
	build_head(&b, 3, 1, 0);
	build_string(&b, big, 1 << 20);
	build_uint(&b, 1, 4);
	build_uint(&b, dim, 8);
	build_uint(&b, 0, 4);
	build_uint(&b, 0, 8);
	build_align(&b, 32);
	build_bytes(&b, big, 32);
	check_built(&b, "a tensor name of 1 MiB", false);

	build_head(&b, 3, 0, 1);
	build_kv(&b, "deep", QC_KV_ARRAY);
	for (int i = 0; i < 100000; i++) {
		build_uint(&b, QC_KV_ARRAY, 4);
		build_uint(&b, 1, 8);
	}
	check_built(&b, "100,000 nested arrays", false);

	build_head(&b, 3, 0, 1);
	build_kv(&b, "text", QC_KV_STRING);
	build_string(&b, big, 1 << 20);
	check_built(&b, "a string of 1 MiB", true);

	build_head(&b, 3, 0, 20000);
	for (int i = 0; i < 20000; i++) {
		snprintf(name, sizeof(name), "k%d", i);
		build_kv_uint(&b, name, QC_KV_U32, 0);
	}
	check_built(&b, "20,000 keys", true);
	free(b.data);
	free(big);
}

int main(void)
{
	every_file_gets_its_verdict();
	large_files_get_their_verdicts();
	return test_end();
}
