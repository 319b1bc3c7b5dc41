/* tokenizer.model: the protobuf message that formats/sentencepiece.c reads. */
#include <string.h>

#include "base/bytes.h"
#include "formats/tokenizer_write.h"

/* Field tags: number << 3 | wire type (0 varint, 2 bytes, 5 four bytes). */
enum {
	PIECES = 1 << 3 | 2,
	TRAINER = 2 << 3 | 2,
	NORMALIZER = 3 << 3 | 2,
	PIECE_TEXT = 1 << 3 | 2,
	PIECE_SCORE = 2 << 3 | 5,
	PIECE_TYPE = 3 << 3,
	MODEL_TYPE = 3 << 3,
	VOCAB_SIZE = 4 << 3,
	BYTE_FALLBACK = 35 << 3,
	UNK_ID = 40 << 3,
	BOS_ID = 41 << 3,
	EOS_ID = 42 << 3,
	PAD_ID = 43 << 3,
	NORMALIZER_NAME = 1 << 3 | 2,
	DUMMY_PREFIX = 3 << 3,
	EXTRA_WHITESPACES = 4 << 3,
	ESCAPE_WHITESPACES = 5 << 3,
};

#define BPE 2

/* A message of numbers, while its length is not known yet. */
struct message {
	uint8_t bytes[160];
	size_t n;
};

static size_t varint(uint64_t value, uint8_t out[10])
{
	size_t n = 0;

	for (; value > 127; value >>= 7)
		out[n++] = (uint8_t)(value | 128);
	out[n++] = (uint8_t)value;
	return n;
}

static void put_varint(FILE *out, uint64_t value)
{
	uint8_t bytes[10];

	fwrite(bytes, 1, varint(value, bytes), out);
}

static void add_number(struct message *message, uint64_t tag, uint64_t value)
{
	message->n += varint(tag, message->bytes + message->n);
	message->n += varint(value, message->bytes + message->n);
}

static void put_message(FILE *out, uint64_t tag, const struct message *message)
{
	put_varint(out, tag);
	put_varint(out, message->n);
	fwrite(message->bytes, 1, message->n, out);
}

static void put_piece(FILE *out, const struct qc_token *token)
{
	uint8_t size[10], score[4];
	const bool typed = token->type != QC_TOKEN_NORMAL;

	put_varint(out, PIECES);
	put_varint(out, 1 + varint(token->len, size) + token->len + 5 + (typed ? 2 : 0));
	put_varint(out, PIECE_TEXT);
	put_varint(out, token->len);
	fwrite(token->text, 1, token->len, out);
	put_varint(out, PIECE_SCORE);
	qc_put_le32(score, qc_f32_bits(token->score));
	fwrite(score, 1, sizeof(score), out);
	if (typed) {
		put_varint(out, PIECE_TYPE);
		put_varint(out, (uint64_t)token->type);
	}
}

/* What the trainer gave the token: added_tokens_decoder has given it the score of its own. */
static struct qc_token trained(const struct qc_vocab_back *vocab, uint32_t id)
{
	struct qc_token token = vocab->tokens[id];

	if (!vocab->has_decoder || !qc_vocab_back_is_added(vocab, id) ||
	    token.score != QC_ADDED_SCORE)
		return token;
	token.score = 0;
	if (id == vocab->unknown)
		token.type = QC_TOKEN_UNKNOWN;
	return token;
}

/* An id, -1 for none. */
static uint64_t id_or_none(uint32_t id)
{
	return id == QC_NO_TOKEN ? UINT64_MAX : id;
}

void qc_sentencepiece_write(const struct qc_vocab_back *vocab, FILE *out)
{
	static const char name[] = "identity";
	struct message trainer = {.n = 0}, normalizer = {.n = 0};

	for (uint32_t id = 0; id < vocab->n; id++) {
		const struct qc_token token = trained(vocab, id);

		put_piece(out, &token);
	}
	add_number(&trainer, MODEL_TYPE, BPE);
	add_number(&trainer, VOCAB_SIZE, vocab->n);
	add_number(&trainer, BYTE_FALLBACK, 1);
	add_number(&trainer, UNK_ID, id_or_none(vocab->unknown));
	add_number(&trainer, BOS_ID, id_or_none(vocab->bos));
	add_number(&trainer, EOS_ID, id_or_none(vocab->eos));
	add_number(&trainer, PAD_ID, id_or_none(vocab->pad));
	put_message(out, TRAINER, &trainer);
	add_number(&normalizer, NORMALIZER_NAME, sizeof(name) - 1);
	memcpy(normalizer.bytes + normalizer.n, name, sizeof(name) - 1);
	normalizer.n += sizeof(name) - 1;
	add_number(&normalizer, DUMMY_PREFIX, vocab->space_prefix);
	add_number(&normalizer, EXTRA_WHITESPACES, 0);
	add_number(&normalizer, ESCAPE_WHITESPACES, 1);
	put_message(out, NORMALIZER, &normalizer);
}
