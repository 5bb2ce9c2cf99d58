// Drafts by look-up in a row's own text, in a table of n-grams and in a corpus; drafters/ngram.py, drafters/ngram_table.py
// and drafters/corpus.py say what it means, and do it with torch.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "corpus.h"

constexpr int64_t kMaxN = 8;
constexpr uint64_t kFactor = 0x9e3779b97f4a7c15u;  // 2**64 / golden ratio

struct NgramTable {
    int64_t max_n, size;  // slots for each n: a power of two
    int64_t *key, *next, *hits, *total, *vote;  // [max_n * size]
};

struct NgramRows {
    int64_t rows, block, width, capacity, eos, depth;  // B, K, W of the source, T
    const int64_t* source;            // [B, W], -1 behind each row's end
    const int64_t *tokens, *lengths;  // [B, T], [B]: the first token, then the output
    const float* outcomes;            // [4, places to look in * (depth + 1)], see drafters/outcomes.py
    int64_t *kind, *counted;          // [B], of the draft: where it is from and the length of the match; tokens that count
    int64_t *draft, *drafted;         // [B, K], [B]
};

// Hashes of the last 1, 2 ... n tokens, the last one first.
static void hash_ngrams(const int64_t* last, int64_t n, int64_t* hashes) {
    uint64_t value = 0;
    for (int64_t i = 0; i < n; ++i) {
        value = (value ^ static_cast<uint64_t>(last[i] + 1)) * kFactor;
        value ^= static_cast<uint64_t>(static_cast<int64_t>(value) >> 29);
        hashes[i] = static_cast<int64_t>(value);
    }
}

// The next token by the longest n-gram that is sure enough. Returns its n, 0 where there is none.
static int64_t ask_table(const NgramTable& w, const int64_t* last, int64_t* token) {
    int64_t hashes[kMaxN], n = 0;
    while (n < w.max_n && last[n] >= 0) ++n;
    hash_ngrams(last, n, hashes);
    for (; n > 0; --n) {
        const int64_t slot = (hashes[n - 1] & (w.size - 1)) + (n - 1) * w.size;
        const float hits = static_cast<float>(w.hits[slot]), enough = 0.4f * static_cast<float>(w.total[slot]);
        if (w.key[slot] != hashes[n - 1] || hits < enough || w.hits[slot] <= 0) continue;
        *token = w.next[slot];
        break;
    }
    return n;
}

// Follows the table from one token to the next. Returns the length of the n-gram that offered the first one.
static int64_t roll_out(const NgramTable& w, const int64_t* last, int64_t block, int64_t eos, int64_t* draft,
                        int64_t* drafted) {
    int64_t window[kMaxN], first = 0;
    std::copy_n(last, w.max_n, window);
    *drafted = 0;
    while (*drafted < block) {
        int64_t token = 0;
        const int64_t n = ask_table(w, window, &token);
        if (n == 0) break;
        if (*drafted == 0) first = n;
        draft[(*drafted)++] = token;
        if (token == eos) break;
        std::copy_backward(window, window + w.max_n - 1, window + w.max_n);
        window[0] = token;
    }
    return first;
}

// A row's text: its source, then its output without the first token.
struct RowText {
    const int64_t *source, *output;
    int64_t width, n_output;
    int64_t size() const { return width + n_output; }
    int64_t operator[](int64_t i) const { return i < width ? source[i] : output[i - width]; }
};

// Copies what stands behind the longest match, the latest of several. Returns the match's length.
static int64_t copy_text(const RowText& text, const int64_t* last, int64_t max_n, int64_t block, int64_t eos,
                         int64_t* draft, int64_t* drafted) {
    int64_t matched = 0, place = text.size();
    for (int64_t i = text.size() - 2; i >= 0 && matched < max_n; --i) {
        if (text[i + 1] < 0) continue;
        int64_t n = 0;
        while (n < max_n && n <= i && text[i - n] == last[n]) ++n;
        if (n > matched) matched = n, place = i + 1;
    }
    *drafted = 0;
    for (int64_t i = place; *drafted < block && i < text.size() && text[i] >= 0; ++i) {
        draft[(*drafted)++] = text[i];
        if (text[i] == eos) break;
    }
    return matched;
}

// How many tokens a draft of a kind is worth, at most ``block``.
static int64_t worth(const float* outcomes, int64_t kinds, int64_t kind, int64_t block) {
    const float tried = outcomes[kind], right = outcomes[kinds + kind];
    const float further_tried = outcomes[2 * kinds + kind], further_right = outcomes[3 * kinds + kind];
    const float further = (further_right + 9.5f) / (further_tried + 10.0f);
    float chance = (right + 5.0f) / (tried + 10.0f);
    int64_t n = 0;
    for (; n < block && chance >= 0.3f; ++n) chance *= further;
    return n;
}

// corpus may be null. Returns how many places of the corpus were looked at.
static int64_t draft_by_ngrams(const NgramTable& table, const NgramCorpus* corpus, const NgramRows& w) {
    const int64_t kinds = 3 * (w.depth + 1);
    std::vector<int64_t> found(w.block);
    int64_t looked_at = 0;
    for (int64_t r = 0; r < w.rows; ++r) {
        const int64_t *tokens = w.tokens + r * w.capacity, length = w.lengths[r];
        int64_t last[kMaxN], longest = 0, *draft = w.draft + r * w.block;
        for (int64_t n = 0; n < w.depth; ++n) last[n] = n < length ? tokens[length - 1 - n] : -2;
        std::fill_n(draft, w.block, 0);
        w.kind[r] = w.drafted[r] = 0;
        const auto offer = [&](int64_t place, int64_t n, int64_t n_found) {
            const int64_t kind = place * (w.depth + 1) + n, matched = std::min(n, table.max_n);
            if (n_found == 0 || matched <= longest) return;
            n_found = std::min(n_found, worth(w.outcomes, kinds, kind, w.block));
            if (n_found == 0) return;
            longest = matched, w.kind[r] = kind, w.drafted[r] = n_found;
            std::copy_n(found.data(), n_found, draft);
        };
        int64_t n_found = 0;
        const RowText text{w.source + r * w.width, tokens + 1, w.width, length - 1};
        int64_t n = copy_text(text, last, table.max_n, w.block, w.eos, found.data(), &n_found);
        offer(0, n, n_found);
        n = roll_out(table, last, w.block, w.eos, found.data(), &n_found);
        offer(1, n, n_found);
        if (corpus != nullptr) {
            CorpusSearch search(*corpus);
            n = search.roll_out(last, w.block, w.eos, found.data(), &n_found);
            offer(2, n, n_found);
            looked_at += search.looked_at;
        }
        const int64_t drafted = w.drafted[r];
        w.counted[r] = drafted - (drafted > 0 && draft[drafted - 1] == w.eos);
    }
    return looked_at;
}

// Counts what a round made of its drafts; what is known of each kind fades. outcomes: [4, kinds].
static void judge_drafts(int64_t rows, const int64_t* kind, const int64_t* counted, const int64_t* kept, int64_t kinds,
                         float* outcomes) {
    for (int64_t i = 0; i < 4 * kinds; ++i) outcomes[i] *= 0.995f;
    for (int64_t r = 0; r < rows; ++r) {
        if (counted[r] <= 0 || kept[r] <= 0) continue;
        const int64_t right = std::min(kept[r] - 1, counted[r]);
        float* own = outcomes + kind[r];
        own[0] += 1.0f;
        if (right == 0) continue;
        own[kinds] += 1.0f;
        own[2 * kinds] += static_cast<float>(right - 1 + (right < counted[r]));
        own[3 * kinds] += static_cast<float>(right - 1);
    }
    for (int64_t i = 0; i < 2 * kinds; ++i) {  // the first half of the loop: first tokens; the other: further ones
        float* tried = outcomes + i / kinds * 2 * kinds + i % kinds;
        const float share = std::min(50.0f / tried[0], 1.0f);
        tried[0] *= share, tried[kinds] *= share;
    }
}

// An n-gram's hash, a token behind it, and how often that came in this call.
struct Follower {
    int64_t pair, hash, token, slot, count;
};

// Gives slots whose vote is lost, or that hold another n-gram, to the most frequent newcomer.
static void replace_slots(const NgramTable& w, std::vector<Follower>& found) {
    std::stable_sort(found.begin(), found.end(), [](const Follower& a, const Follower& b) {
        return a.slot != b.slot ? a.slot < b.slot : a.count < b.count;
    });
    int64_t seen = 0;
    for (size_t i = 0; i < found.size(); ++i) {
        const Follower& one = found[i];
        seen += one.count;
        if (i + 1 < found.size() && found[i + 1].slot == one.slot) continue;
        const bool is_new = w.key[one.slot] != one.hash;
        if (is_new || (w.vote[one.slot] < 0 && w.next[one.slot] != one.token)) {
            if (is_new) w.total[one.slot] = seen;
            w.key[one.slot] = one.hash, w.next[one.slot] = one.token;
            w.hits[one.slot] = w.vote[one.slot] = one.count;
        }
        seen = 0;
    }
}

// Counts what follows every n-gram of some sentences: tokens [rows, stride], of which lengths count.
static void add_sentences(const NgramTable& w, int64_t eos, int64_t rows, int64_t stride, const int64_t* tokens,
                          const int64_t* lengths) {
    std::vector<Follower> all[kMaxN], found;
    for (int64_t r = 0; r < rows; ++r) {
        int64_t last[kMaxN], hashes[kMaxN];
        std::fill_n(last, w.max_n, -1);
        last[0] = eos;
        for (int64_t i = 0; i < lengths[r]; ++i) {
            const int64_t token = tokens[r * stride + i];
            const int64_t n = std::min(i + 1, w.max_n);  // of which all tokens are there
            hash_ngrams(last, n, hashes);
            for (int64_t k = 0; k < n; ++k) {
                const uint64_t pair = static_cast<uint64_t>(hashes[k] ^ (token + 1)) * kFactor;
                const int64_t slot = (hashes[k] & (w.size - 1)) + k * w.size;
                all[k].push_back({static_cast<int64_t>(pair), hashes[k], token, slot, 1});
            }
            std::copy_backward(last, last + w.max_n - 1, last + w.max_n);
            last[0] = token;
        }
    }
    for (int64_t k = 0; k < w.max_n; ++k) {
        std::sort(all[k].begin(), all[k].end(), [](const Follower& a, const Follower& b) { return a.pair < b.pair; });
        found.clear();
        for (const Follower& one : all[k]) {
            if (!found.empty() && found.back().pair == one.pair) {
                ++found.back().count;
            } else {
                found.push_back(one);
            }
        }
        for (const Follower& one : found) {
            if (w.key[one.slot] == one.hash) {
                const bool same = w.next[one.slot] == one.token;
                w.hits[one.slot] += same ? one.count : 0;
                w.total[one.slot] += one.count;
                w.vote[one.slot] += same ? one.count : -one.count;
            } else {
                w.vote[one.slot] -= one.count;
            }
        }
        replace_slots(w, found);
    }
}
