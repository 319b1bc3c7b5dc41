/* Tokenizer files in a folder of their own, for tests. */
#ifndef QC_TESTS_TOKENIZER_FILES_H
#define QC_TESTS_TOKENIZER_FILES_H

#include <dirent.h>
#include <unistd.h>

#include "formats/arch/arch.h"
#include "formats/tokenizer.h"
#include "tests/test.h"

#define LLAMA "tests/data/models/tiny-llama"
#define GEMMA "samples/tiny-gemma3"

/* A directory of its own for a test's files. */
struct place {
	char dir[64];
};

static inline void place_open(struct place *place)
{
	snprintf(place->dir, sizeof(place->dir), "/tmp/qconv-tokenizer-XXXXXX");
	NEED(mkdtemp(place->dir), "cannot make a directory");
}

static inline void place_close(struct place *place)
{
	DIR *stream = opendir(place->dir);
	char path[512];

	for (struct dirent *entry; stream && (entry = readdir(stream));) {
		snprintf(path, sizeof(path), "%s/%s", place->dir, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(path);
	}
	if (stream)
		closedir(stream);
	rmdir(place->dir);
}

static inline void put(const struct place *place, const char *name, const char *text, size_t size)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", place->dir, name);
	f = fopen(path, "wb");
	NEED(f && fwrite(text, 1, size, f) == size && !fclose(f), "cannot write %s", path);
}

static inline void put_text(const struct place *place, const char *name, const char *text)
{
	put(place, name, text, strlen(text));
}

static inline void copy(const struct place *place, const char *from, const char *name)
{
	char path[128];
	size_t size;
	char *data;

	snprintf(path, sizeof(path), "%s/%s", from, name);
	data = test_load(path, &size);
	put(place, name, data, size);
	free(data);
}

/* A model without tensors in `dir`, with the configuration `config`. */
static inline enum qc_status load(struct qc_model *model, const char *dir, const char *config,
				  struct qc_err *err)
{
	*model = (struct qc_model){.path = dir, .dir = dir};
	model->meta.arena = &model->arena;
	NEED(!qc_arch_from_config(model, strdup(config), strlen(config), err), "%s", err->text);
	return qc_tokenizer_load(model, err);
}

/* BPE with byte fallback; `more` continues the root object, `vocab` and `merges` fill the model. */
#define JSON(more, vocab, merges)                                                                  \
	"{" more "\"model\": {\"type\": \"BPE\", \"byte_fallback\": true, \"vocab\": {" vocab      \
	"}, \"merges\": [" merges "]}}"

#endif
