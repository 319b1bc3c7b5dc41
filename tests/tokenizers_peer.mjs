// The peer's ids: the npm package @huggingface/tokenizers.
//
//   node tokenizers_peer.mjs lines SEED N FAMILY       N texts, a JSON string a line
//   node tokenizers_peer.mjs caseless                  those lines read that have no mark and, beyond ASCII,
//                                                      no letter with a case
//   node tokenizers_peer.mjs ids PACKAGE DIR PRE       reads such lines, prints two lines of ids for each:
//                                                      specials parsed; the same with BOS/EOS added
//
// DIR holds tokenizer.json and tokenizer_config.json. PRE is "own", or the name of a pre-tokenizer
// that takes the place of the tokenizer's own (byte-level families).
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { join } from 'node:path';

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const TAIL = '|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+';
const BEFORE = '[^\\r\\n\\p{L}\\p{N}]?';
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]';
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]';
const LLAMA3 = CONTRACTIONS + '|' + BEFORE + '\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*' + TAIL;
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const split = (regex) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false });

// As the tokenizer.json of each family has them.
const pretokenizers = {
	'llama-bpe': { steps: [split(LLAMA3)], ignore_merges: true, add_bos: true },
	dbrx: { steps: [split(LLAMA3)] },
	qwen2: {
		steps: [split(LLAMA3.replace('{1,3}', ''))],
		normalizer: { type: 'NFC' },
	},
	qwen35: {
		steps: [split(CONTRACTIONS + '|' + BEFORE + '[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*' + TAIL)],
		normalizer: { type: 'NFC' },
	},
	tekken: {
		steps: [split(BEFORE + UPPER + '*' + LOWER + '+|' + BEFORE + UPPER + '+' + LOWER +
			'*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*' + TAIL)],
		ignore_merges: true,
		add_bos: true,
	},
	// written out: for ByteLevel's use_regex the package has JavaScript's \s, which is not quite White_Space, and for
	// Digits only ASCII's
	'gpt-2': { steps: [split(GPT2)] },
	smollm: { steps: [split('\\p{N}'), split(GPT2)] },
	'deepseek-v3': {
		steps: [
			split('\\p{N}{1,3}'),
			split('[一-龥\u3040-ゟ゠-ヿ]+'),
			split('[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|' +
				'[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*' + TAIL),
		],
	},
};

function change_pre(tokenizer, name) {
	const pre = pretokenizers[name];

	tokenizer.pre_tokenizer = {
		type: 'Sequence',
		pretokenizers: [...pre.steps,
			{ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }],
	};
	tokenizer.normalizer = pre.normalizer ?? null;
	tokenizer.model.ignore_merges = pre.ignore_merges ?? false;
	if (pre.add_bos) {
		const bos = tokenizer.added_tokens.find((token) => token.content === '<|startoftext|>');
		tokenizer.post_processor = {
			type: 'TemplateProcessing',
			single: [{ SpecialToken: { id: bos.content, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
			pair: [],
			special_tokens: { [bos.content]: { id: bos.content, ids: [bos.id], tokens: [bos.content] } },
		};
	}
}

async function print_ids(peer, dir, pre) {
	const { Tokenizer } = await import(pathToFileURL(join(peer, 'dist/tokenizers.mjs')));
	const read = (name) => JSON.parse(readFileSync(join(dir, name), 'utf8'));
	const json = read('tokenizer.json');

	if (pre !== 'own')
		change_pre(json, pre);
	const tokenizer = new Tokenizer(json, read('tokenizer_config.json'));
	const out = [];
	for await (const line of createInterface({ input: process.stdin })) {
		const text = JSON.parse(line);
		for (const add_special_tokens of [false, true])
			out.push(tokenizer.encode(text, { add_special_tokens }).ids.join(' '));
	}
	process.stdout.write(out.join('\n') + '\n');
}

// Texts.

const WORDS = ('the of and a to in is you that it he was for on are as with his they I at be this have from or one had by ' +
	"word but not what all were we when your can said there use an each which she do how their if ROMEO First Citizen JULIET " +
	"don't I'LL we've O'Brien's he'd it'S king's KING'S 'tis naïve café Größe ÆØÅ ñandú Straße ÉCOLE été Ünïcödé İstanbul ǅ").split(' ');
const CODE = ['for (int i = 0; i < n; i++) {', '\treturn x->y;', 'def f(self, *args):', '    pass', '#include <stdio.h>', 'a[i] += b*c%d;',
	'"\\n\\t\\x00"', 'x = {"k": [1, 2.5e-3, null]}', '// TODO', '/* c */', '<div class="a">&nbsp;</div>', '$ ls -la | grep foo',
	'SELECT * FROM t WHERE a <> 1;', 'https://a.b/c?d=e&f=%20#g', 'if(!a&&b||c)', '}', '});', '\\alpha_{i}^{2}', 'lambda x: x**2', '==>', '::', '....', '----', '````'];
const FOREIGN = ['日本語', 'とカタカナ', '漢字', '中文，测试。', 'русский', 'ПРИВЕТ', 'Ελληνικά', 'العربية', 'עברית', 'हिन्दी', 'বাংলা', 'ไทย', '한국어', '각',
	'ქართული', 'አማርኛ', 'tiếng Việt', 'e\u0301', 'a\u0323\u0302', 'i\u0307', '\u212b', '\u1100\u1161\u11a8', '\u0e33', 'ﬁ', '½', 'Ⅷ', '²', '٣', '۴', '๕'];
const EMOJI = ['😀', '👩\u200d👩\u200d👧\u200d👦', '🇬🇧', '👍🏽', '❤\ufe0f', '\u200b', '\u2060', '🫠', '1\ufe0f\u20e3', '\u{1d400}', '\u{10ffff}', '\ue000', '\ufffd', '\u0001', '\u007f', '\u0000'];
const SPACES = [' ', '  ', '   ', '    ', '     ', '       ', '\t', '\t\t', '\n', '\n\n', '\n\n\n', '\n\n\n\n', '\n\n\n\n\n', '\r\n', '\r', ' \n', '\n ', '\u00a0', '\u2003', '\u3000',
	'\u000b', '\u000c', '\u0085', '\u2028', '\u202f', '\u1680', '\u180e', '\ufeff'];
const PUNCTUATION = ['.', ',', '!', '?', '...', '…', '—', '–', '“', '”', "'", '"', '(', ')', '[', ']', '«', '»', '¿', '、', '。', '/', '\\', '//', '@', '#', '€', '£', '+', '×', '<', '>', '|', '<|', '|>', '&', '_', '~', '\u2581x'];
const SPECIALS = {
	gemma3: ['<bos>', '<eos>', '<pad>', '<unk>', '<mask>', '<start_of_turn>', '<end_of_turn>', '<0x41>'],
	gemma4: ['<bos>', '<eos>', '<pad>', '<unk>', '<mask>', '<|turn>', '<turn|>', '<|channel>', '<channel|>', '<|audio|>', '<0x41>'],
	llama: ['<s>', '</s>', '<unk>', '<0x41>', '[INST]', '[/INST]'],
	'gpt-oss': ['<|start|>', '<|end|>', '<|message|>', '<|channel|>', '<|return|>', '<|endoftext|>', '<|startoftext|>', '<|reserved_1039|>', '<|nope|>'],
};

// Characters whose properties are the same in every version of Unicode that one may meet.
const RANGES = [[0, 0x377], [0x38e, 0x3a1], [0x3a3, 0x52f], [0x531, 0x556], [0x5d0, 0x5ea], [0x620, 0x6ff], [0x904, 0x94d], [0xe01, 0xe3a],
	[0x10d0, 0x10f0], [0x1100, 0x11ff], [0x1e00, 0x1f15], [0x2000, 0x2064], [0x20a0, 0x20b8], [0x20d0, 0x20ef], [0x2100, 0x218b], [0x2190, 0x23e7],
	[0x2460, 0x2580], [0x2582, 0x27bf], [0x3001, 0x303f], [0x3041, 0x3096], [0x3099, 0x30ff], [0x3400, 0x4db5], [0x4e00, 0x9fa5], [0xac00, 0xd7a3],
	[0xe000, 0xf8ff], [0xff01, 0xff9f], [0x10400, 0x1044f], [0x1d400, 0x1d454], [0x1f300, 0x1f320], [0x1f600, 0x1f64f], [0x20000, 0x2a6d6]];

function* texts(seed, n, family) {
	let state = BigInt(seed) * 2862933555777941757n + 3037000493n;
	const random = (m) => {
		state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
		return Number(state >> 33n) % m;
	};
	const pick = (list) => list[random(list.length)];
	const number = () => String(random(10 ** (1 + random(9))));
	const code_point = () => {
		const [first, last] = pick(RANGES);
		return String.fromCodePoint(first + random(last - first + 1));
	};
	const kinds = [() => pick(WORDS), () => pick(WORDS), () => pick(WORDS), () => pick(CODE), () => pick(FOREIGN), () => pick(EMOJI),
		() => pick(SPACES), () => pick(PUNCTUATION), () => pick(SPECIALS[family]), number, code_point];

	for (let i = 0; i < n; i++) {
		const parts = 1 + random(i % 3 ? 12 : 60);
		const plain = random(3) === 0;
		let text = '';
		for (let k = 0; k < parts; k++) {
			text += plain ? pick(WORDS) + pick(PUNCTUATION.slice(0, 6)) : kinds[random(kinds.length)]();
			text += random(3) ? ' ' : random(4) ? '' : pick(SPACES);
		}
		// what families may see differently: a literal mark for a space beside another or a space
		text = text.replace(/[ \u2581]*\u2581[ \u2581]*/gu, '\u2581');
		yield text;
	}
}

async function print_caseless() {
	for await (const line of createInterface({ input: process.stdin }))
		if (!/\p{M}|(?![A-Za-z])[\p{Lu}\p{Ll}\p{Lt}]/u.test(JSON.parse(line)))
			process.stdout.write(line + '\n');
}

const [mode, ...args] = process.argv.slice(2);
if (mode === 'lines') {
	let out = '';
	for (const text of texts(Number(args[0]), Number(args[1]), args[2]))
		out += JSON.stringify(text) + '\n';
	process.stdout.write(out);
} else if (mode === 'caseless') {
	await print_caseless();
} else {
	await print_ids(args[0], args[1], args[2]);
}
